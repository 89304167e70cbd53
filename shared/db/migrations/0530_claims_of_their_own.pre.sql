-- A claim that PostgreSQL forgot, and the next one of its job, have different numbers: whoever has the first must not end the second.

-- waiting, delayed (due), active (lease expired) -> active. Each of `p_input`: {n, job_id, worker, lease, clock_skew (both
-- in seconds), at_most_once, durable, begun}; at_most_once and durable are the stage's, the same in each row. A stage that is
-- at most once remembers that a lost worker may have acted: its outcome is unknown. `durable` false: a claim that a crash of
-- PostgreSQL forgets costs one more execution, and nobody outside has seen anything.
--
-- A claim's number is partly drawn. PostgreSQL may forget a claim: it crashes before it has written one that is not durable, or a replica
-- takes over that has not received it. The job is claimed again, and whoever has the claim that is forgotten must not end the new one.
-- After 500,000 claims, those of a job that looks each second for a week, the numbers begin anew.
--
-- A worker is lost only if another one finds its job. The worker itself may take an active job of its own at once, for it asks
-- only where no thread of it works on the job: either the answer to its claim was lost, and nothing has begun, so that this is
-- the same attempt; or its work had begun under the claim `begun`, and what came of it could not be recorded. A job that a
-- worker died with before runs in no worker again, but alone in a process (job_begin_alone_v1): if its next worker dies before
-- that, nothing has begun.
create function job_claim_v3(p_queue text, p_input jsonb)
returns table (n integer, job_id bigint, claim integer, queue text, priority smallint, payload jsonb, attempt integer,
               lost_claims integer, age float8, customer_id bigint, message_id bigint, webhook_event_id bigint,
               outcome_unknown_for float8) language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    if not (p_input -> 0 ->> 'durable')::boolean then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    return query
    with input as materialized (
        select * from jsonb_to_recordset(p_input) as i(n integer, job_id bigint, worker text, lease float8, clock_skew float8,
            at_most_once boolean, begun integer) order by job_id
    )
    update job set state = 'active', claims = (claims / 4096 % 500000 + 1) * 4096 + floor(random() * 4096)::integer,
        attempts = attempts + (state <> 'active' or job_has_begun(job, input.worker, input.begun))::integer,
        lost_claims = lost_claims + (job_has_begun(job, input.worker, input.begun)
            and worker_of(claimed_by) <> input.worker)::integer,
        outcome_unknown_since = case when input.at_most_once and job_has_begun(job, input.worker, input.begun)
            then clock_timestamp() else outcome_unknown_since end,
        claimed_by = input.worker, lease_until = clock_timestamp() + make_interval(secs => input.lease),
        run_at = null, started_at = coalesce(started_at, clock_timestamp())
    from input
    where job.id = any (array(select job_id from input)) -- by the index, also where the plan was made on an empty table
      and job.id = input.job_id and job.queue = p_queue and closed_at is null and not held
      and (state = 'waiting'
           or state = 'delayed' and run_at <= clock_timestamp() + make_interval(secs => input.clock_skew)
           or state = 'active' and (lease_until < clock_timestamp() or worker_of(claimed_by) = input.worker))
    returning input.n, job.id, job.claims, job.queue, job.priority, job.payload, job.attempts, job.lost_claims,
        extract(epoch from clock_timestamp() - job.created_at)::float8, job.customer_id, job.message_id, job.webhook_event_id,
        extract(epoch from clock_timestamp() - job.outcome_unknown_since)::float8;
end $$;

-- job_claim_v3 for a channel's send queue: under the locks of the conversations, so that whoever takes over does so before it or after
-- it. `status` is the reply's, SUPERSEDED if it may not leave. `has_moved`: its conversation was merged into another at this moment.
create function send_claim_v2(p_queue text, p_input jsonb)
returns table (job claimed_job, status text, has_moved boolean) language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    return query
    with locked_conversations as materialized ( -- in the order in which incoming-messages goes through them
        select conversation.id, owner, owner_since, handed_over_at from conversation where id = any (array(
            select message.conversation_id from message where id = any (array(
                select message_id from job where id = any (array(
                    select (item ->> 'job_id')::bigint from jsonb_array_elements(p_input) item))))))
        order by chatbot_id, channel, external_user_id for no key update
    ), claimed_jobs as materialized (
        select claimed.* from (select count(*) from locked_conversations) locked, job_claim_v3(p_queue, p_input) claimed
    ), superseded_replies as materialized (
        select message.id from message join locked_conversations on locked_conversations.id = message.conversation_id
        where message.id = any (array(select claimed_jobs.message_id from claimed_jobs)) and message.status = 'PENDING'
            and not reply_may_leave_v1(message.reply_to, message.created_at, owner, owner_since, handed_over_at)
    ), kept_replies as ( -- whoever took over may have said so already
        update message set status = 'SUPERSEDED', updated_at = clock_timestamp()
        where id = any (array(select id from superseded_replies)) and status = 'PENDING'
    )
    select row(claimed_jobs.*)::claimed_job,
        case when message.id in (select id from superseded_replies) then 'SUPERSEDED' else message.status end,
        message.conversation_id not in (select id from locked_conversations)
    from claimed_jobs left join message on message.id = claimed_jobs.message_id;
end $$;
