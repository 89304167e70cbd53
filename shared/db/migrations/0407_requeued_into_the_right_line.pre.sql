-- The ordering key of a conversation's jobs, where that has become a part of another one since they were added; others stay as they are.
create function ordering_key_now(p_key text) returns text language sql stable as $$
    select coalesce((select conversation_id::text from merged_conversation
                     where id = case when p_key ~ '^[0-9]{1,18}$' then p_key::bigint end), p_key)
$$;

-- failed -> waiting, as if it were new, behind an open job of its ordering key. What its dead letter wrote to its message
-- or event, if it ran already, is taken back, so that the stage does its work again. Returns
-- {outcome: 'requeued', held, ticket}; or why not: {outcome: 'gone' | 'busy' | 'answered' | 'redelivered' | the job's state}.
create function job_requeue_v2(p_id bigint) returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_refusal text;
    v_key     text;
begin
    select * into v_job from job where id = p_id for update skip locked;
    v_refusal := case
        when not found then (select case when count(*) = 0 then 'gone' else 'busy' end from job where id = p_id)
        when v_job.state <> 'failed' then v_job.state
        -- A question has one reply: the fallback message, if nothing else.
        when v_job.queue = 'ai-processing' and exists (select from message where reply_to = v_job.message_id) then 'answered'
        when v_job.webhook_event_id is not null and v_job.closed_at is not null and not exists (
            select from webhook_event where id = v_job.webhook_event_id and status = 'FAILED') then 'redelivered' end;
    if v_refusal is not null then
        return jsonb_build_object('outcome', v_refusal);
    end if;
    update message set status = 'PENDING', error = null, updated_at = clock_timestamp()
    where id = v_job.message_id and status = 'FAILED';
    update webhook_event set status = 'PENDING', error = null, response_status = null
    where id = v_job.webhook_event_id and status = 'FAILED';
    loop -- a merger that was under way has renamed open jobs only; one that comes later waits for this lock
        v_key := ordering_key_now(v_job.ordering_key);
        perform job_lock(v_job.queue, array[v_key]);
        exit when v_key is not distinct from ordering_key_now(v_job.ordering_key);
    end loop;
    -- The clock of its maximum age begins anew; the fence (claims) goes on. Whoever requeues a send of unknown outcome wants it
    -- sent.
    update job j set state = 'waiting', created_at = clock_timestamp(), started_at = null, closed_at = null,
        attempts = 0, lost_claims = 0, outcome_unknown_since = null, last_error = null, last_traceback = null, ordering_key = v_key,
        payload = case when v_key is distinct from ordering_key and payload ? 'conversation_id'
            then payload || jsonb_build_object('conversation_id', v_key::bigint) else payload end,
        held = v_key is not null and exists (
            select from job head where head.queue = j.queue and head.ordering_key = v_key
                                   and head.closed_at is null and not head.held and head.id <> p_id)
    where id = p_id returning * into v_job;
    return jsonb_build_object('outcome', 'requeued', 'held', v_job.held, 'ticket', job_ticket(v_job));
end $$;

-- Replays a dead letter: its job runs again as if it were new (job_requeue_v2), or a new one does where its record was pruned. A
-- question that got the fallback message is asked again: the fallback stays what the customer read, and is no answer any more. Returns
-- {outcome, tickets}; the outcome is 'replayed', 'busy', or the verdict.
create function dead_letter_replay_v3(p_id bigint, p_unknown boolean, p_by text, p_action_id bigint) returns jsonb
language plpgsql as $$
declare
    v_letter  dead_letter;
    v_job     job;
    v_message message;
    v_verdict text;
    v_requeued jsonb;
    v_tickets jsonb := '[]';
begin
    select * into v_letter from dead_letter where id = p_id for update;
    select * into v_job from job where id = v_letter.job_id for update skip locked;
    if not found and exists (select from job where id = v_letter.job_id) then
        return '{"outcome": "busy", "tickets": []}';
    end if;
    -- At this moment its event may be resent, or a person come, from whom the conversation would be taken.
    perform from webhook_event where id = v_letter.webhook_event_id for no key update;
    select * into v_message from message where id = v_letter.message_id for no key update;
    if v_letter.queue = 'ai-processing' then
        perform from conversation where id = v_message.conversation_id for no key update;
    end if;
    v_verdict := dead_letter_verdict_v1(p_id, p_unknown);
    if v_verdict in ('delivered', 'answered') then
        update dead_letter set state = 'answered', changed_by = p_by, changed_at = clock_timestamp(), bulk_action_id = p_action_id
        where id = p_id;
    end if;
    if v_verdict <> 'ready' then
        return jsonb_build_object('outcome', v_verdict, 'tickets', v_tickets);
    end if;
    if v_letter.queue = 'ai-processing' then
        update message set reply_to = null, updated_at = clock_timestamp(),
            metadata = metadata || jsonb_build_object('superseded_by', 'replay', 'question_id', v_letter.message_id),
            status = case when status = 'PENDING' and not exists (
                select from job where job.message_id = message.id and closed_at is null
                    and (state = 'active' or outcome_unknown_since is not null)) then 'SUPERSEDED' else status end
        where reply_to = v_letter.message_id;
        v_tickets := coalesce(conversation_give_back_v1(v_message.conversation_id, 'operator', 0), '[]');
    end if;
    if v_job.id is not null then
        v_requeued := job_requeue_v2(v_job.id);
        if v_requeued ->> 'outcome' <> 'requeued' then
            raise exception 'dead letter %: its job is %', p_id, v_requeued ->> 'outcome';
        end if;
        v_tickets := v_tickets || case when (v_requeued ->> 'held')::boolean then '[]' else jsonb_build_array(v_requeued -> 'ticket') end;
    else
        update message set status = 'PENDING', error = null, updated_at = clock_timestamp()
        where id = v_letter.message_id and status = 'FAILED';
        update webhook_event set status = 'PENDING', error = null, response_status = null where id = v_letter.webhook_event_id;
        v_tickets := v_tickets || job_add_v1(jsonb_build_array(case v_letter.queue
            when 'webhook-delivery' then delivery_job_v1(v_letter.customer_id, v_letter.webhook_event_id)
            when 'ai-processing' then answer_job_v1(v_letter.customer_id,
                (select priority from customer where id = v_letter.customer_id), v_message.id, v_message.conversation_id, 0)
            when 'outgoing-messages' then outgoing_job_v1(v_letter.customer_id, v_message.id, v_message.conversation_id, v_message.channel)
            else send_job_v1(v_letter.queue, v_letter.customer_id, v_message.id, v_message.conversation_id) end));
        -- If the new job fails, it is the same dead letter.
        select coalesce(max(id), (v_tickets -> -1 ->> 'id')::bigint) into v_job.id from job
        where message_id = v_message.id and queue = v_letter.queue and closed_at is null;
    end if;
    update dead_letter set state = 'replayed', changed_by = p_by, changed_at = clock_timestamp(), bulk_action_id = p_action_id,
        job_id = v_job.id
    where id = p_id;
    return jsonb_build_object('outcome', 'replayed', 'tickets', v_tickets);
end $$;
