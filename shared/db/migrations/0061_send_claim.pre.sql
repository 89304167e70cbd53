-- One claim for the send queues of all channels, under the locks of their conversations.

-- What job_claim_v2 returns, as one value.
create type claimed_job as (n integer, job_id bigint, claim integer, queue text, priority smallint, payload jsonb, attempt integer,
    lost_claims integer, age float8, customer_id bigint, message_id bigint, webhook_event_id bigint, outcome_unknown_for float8);

-- job_claim_v2 for a channel's send queue: under the locks of the conversations, so that whoever takes over does so before it or after
-- it. `status` is the reply's, SUPERSEDED if it may not leave. `has_moved`: its conversation was merged into another at this moment.
create function send_claim_v1(p_queue text, p_input jsonb)
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
        select claimed.* from (select count(*) from locked_conversations) locked, job_claim_v2(p_queue, p_input) claimed
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
