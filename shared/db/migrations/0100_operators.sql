-- What operators do to jobs by hand. A held job that an operator deletes is failed and held until its dead letter is written.
alter table job drop constraint job_check5;
alter table job add constraint job_check5
    check (not held or (state in ('waiting', 'delayed', 'failed') and ordering_key is not null));

-- failed -> waiting, as if it were new, behind an open job of its ordering key. What its dead letter wrote to its message
-- or event is taken back, so that the stage does its work again. Returns {outcome: 'requeued', held, ticket}; or why not:
-- {outcome: 'gone' | 'busy' | 'answered' | 'redelivered' | the job's state}.
create function job_requeue_v1(p_id bigint) returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_refusal text;
begin
    select * into v_job from job where id = p_id for update skip locked;
    v_refusal := case
        when not found then (select case when count(*) = 0 then 'gone' else 'busy' end from job where id = p_id)
        when v_job.state <> 'failed' or v_job.closed_at is null then v_job.state
        -- A question has one reply: the fallback message, if nothing else.
        when v_job.queue = 'ai-processing' and exists (select from message where reply_to = v_job.message_id) then 'answered'
        when v_job.webhook_event_id is not null and not exists (
            select from webhook_event where id = v_job.webhook_event_id and status = 'FAILED') then 'redelivered' end;
    if v_refusal is not null then
        return jsonb_build_object('outcome', v_refusal);
    end if;
    update message set status = 'PENDING', error = null, updated_at = clock_timestamp()
    where id = v_job.message_id and status = 'FAILED';
    update webhook_event set status = 'PENDING', error = null, response_status = null
    where id = v_job.webhook_event_id and status = 'FAILED';
    perform job_lock(v_job.queue, array[v_job.ordering_key]);
    -- The clock of its maximum age begins anew; the fence (claims) goes on. Whoever requeues a send of unknown outcome wants it
    -- sent.
    update job j set state = 'waiting', created_at = clock_timestamp(), started_at = null, closed_at = null,
        attempts = 0, lost_claims = 0, outcome_unknown_since = null, last_error = null, last_traceback = null,
        held = j.ordering_key is not null and exists (
            select from job head where head.queue = j.queue and head.ordering_key = j.ordering_key
                                   and head.closed_at is null and not head.held)
    where id = p_id returning * into v_job;
    return jsonb_build_object('outcome', 'requeued', 'held', v_job.held, 'ticket', job_ticket(v_job));
end $$;

-- waiting, delayed, failed -> failed for this reason; a held job stays held. Its dead letter, which the caller writes next,
-- closes it and lets its ordering key go on. Returns 'discarded'; or why not: 'gone', 'busy' or the job's state.
create function job_discard_v1(p_id bigint, p_reason text) returns text language plpgsql as $$
declare
    v_job job;
begin
    select * into v_job from job where id = p_id for update skip locked;
    if not found then
        return (select case when count(*) = 0 then 'gone' else 'busy' end from job where id = p_id);
    elsif v_job.state not in ('waiting', 'delayed', 'failed') then
        return v_job.state;
    end if;
    update job set state = 'failed', run_at = null, last_traceback = null,
        last_error = concat_ws('; it had failed: ', p_reason, case when state = 'failed' then last_error end)
    where id = p_id and not (state = 'failed' and starts_with(last_error, p_reason));
    return 'discarded';
end $$;
