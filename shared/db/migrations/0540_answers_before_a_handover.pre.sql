-- What the bot answered before it handed a conversation over itself leaves, until a person has come: it waited for a retry, or for a
-- channel that was down, and nobody else answers it.

-- Whether a reply may leave, by its conversation as it is under that lock. What a person writes answers no message, and always may. The
-- bot's must be of the time since the conversation is the bot's. Where the bot itself has handed it over, the reply that says so, and
-- those to earlier messages, may leave until a person has come.
create function reply_may_leave_v2(p_reply_to bigint, p_created_at timestamptz, p_owner text, p_owner_since timestamptz,
                                   p_handed_over_at timestamptz) returns boolean language sql immutable parallel safe as $$
    select p_reply_to is null or case p_owner
        when 'bot' then coalesce(p_created_at >= p_owner_since, true)
        when 'person' then coalesce(p_created_at <= p_handed_over_at, false)
        else false end
$$;

-- job_claim_v3 for a channel's send queue: under the locks of the conversations, so that whoever takes over does so before it or after
-- it. `status` is the reply's, SUPERSEDED if it may not leave. `has_moved`: its conversation was merged into another at this moment.
create function send_claim_v3(p_queue text, p_input jsonb)
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
            and not reply_may_leave_v2(message.reply_to, message.created_at, owner, owner_since, handed_over_at)
    ), kept_replies as ( -- whoever took over may have said so already
        update message set status = 'SUPERSEDED', updated_at = clock_timestamp()
        where id = any (array(select id from superseded_replies)) and status = 'PENDING'
    )
    select row(claimed_jobs.*)::claimed_job,
        case when message.id in (select id from superseded_replies) then 'SUPERSEDED' else message.status end,
        message.conversation_id not in (select id from locked_conversations)
    from claimed_jobs left join message on message.id = claimed_jobs.message_id;
end $$;

-- What would become of a dead letter that is replayed now: 'ready'; or why not. Not yet, or never:
-- done           it is no open dead letter any more       delivered     it arrived after all, or its question was answered
-- under_way      another job is at it                     answered      a person has answered since, or has the conversation
-- outcome_unknown it may have arrived (unless p_unknown)  closed        its conversation was closed
-- window_closed  WhatsApp's 24 hours are over             gone          what it was about, or the record of its job
-- channel_down   its account cannot send                  endpoint_off  its endpoint was switched off
-- not_repeatable its owner repeats it elsewhere
create function dead_letter_verdict_v2(p_id bigint, p_unknown boolean) returns text language plpgsql stable as $$
declare
    v_letter       dead_letter;
    v_job          job;
    v_event        webhook_event;
    v_message      message;
    v_conversation conversation;
    v_reply        message;
begin
    select * into v_letter from dead_letter where id = p_id;
    if v_letter.state <> 'open' then
        return 'done';
    end if;
    select * into v_job from job where id = v_letter.job_id;
    if v_job.state <> 'failed' then
        return 'under_way';
    end if;
    if v_letter.queue = 'webhook-delivery' then
        select * into v_event from webhook_event where id = v_letter.webhook_event_id;
        return case when v_event.id is null then 'gone' when v_event.status = 'DELIVERED' then 'delivered'
            when v_event.status <> 'FAILED' then 'under_way'
            when not (select active from webhook_endpoint where id = v_event.endpoint_id) then 'endpoint_off' else 'ready' end;
    end if;
    select * into v_message from message where id = v_letter.message_id;
    if v_letter.queue = 'incoming-messages' then
        return case when v_message.id is not null then 'delivered' when v_job.id is null then 'gone' else 'ready' end;
    elsif v_letter.queue not in ('ai-processing', 'outgoing-messages') and not exists (select from channel where send_queue = v_letter.queue) then
        return 'not_repeatable';
    elsif v_message.id is null or v_message.revoked_at is not null then
        return 'gone';
    end if;
    select * into v_conversation from conversation where id = v_message.conversation_id;
    if v_letter.queue = 'ai-processing' then
        select * into v_reply from message where reply_to = v_message.id;
        if not v_reply.metadata ? 'fallback' then
            return case when v_reply.status = 'SUPERSEDED' then 'answered' else 'delivered' end;
        end if;
    elsif v_message.status <> 'FAILED' then
        return case v_message.status when 'PENDING' then 'under_way' when 'SUPERSEDED' then 'answered' else 'delivered' end;
    elsif v_letter.outcome_unknown and not p_unknown then
        return 'outcome_unknown';
    end if;
    return case
        when v_conversation.owner = 'closed' then 'closed'
        when v_message.metadata ? 'superseded_by' then 'answered'
        -- The bot itself has handed it over with its fallback, and nobody has come yet: it may still answer.
        when v_letter.queue = 'ai-processing' and v_conversation.owner = 'person' and v_conversation.handed_over_at is null then 'answered'
        when v_letter.queue <> 'ai-processing' and not reply_may_leave_v2(v_message.reply_to, v_message.created_at, v_conversation.owner,
            v_conversation.owner_since, v_conversation.handed_over_at) then 'answered'
        when (v_letter.queue = 'ai-processing' or v_message.reply_to is not null) and exists (
            select from message later where later.conversation_id = v_conversation.id and later.id > v_message.id
                and later.role <> 'user' and later.reply_to is null and not later.metadata ?| '{fallback,superseded_by}'
                and later.status not in ('FAILED', 'SUPERSEDED')) then 'answered'
        when v_message.channel = 'whatsapp_cloud' and v_conversation.window_ends_at <= now() and not v_message.data ? 'template'
            then 'window_closed'
        when exists (select from channel_health health where health.chatbot_id = v_message.chatbot_id
            and health.channel = v_message.channel and channel_is_down_v1(health.state)) then 'channel_down'
        else 'ready' end;
end $$;

-- Replays a dead letter: its job runs again as if it were new (job_requeue_v2), or a new one does where its record was pruned. A
-- question that got the fallback message is asked again: the fallback stays what the customer read, and is no answer any more. Returns
-- {outcome, tickets}; the outcome is 'replayed', 'busy', or the verdict.
create function dead_letter_replay_v4(p_id bigint, p_unknown boolean, p_by text, p_action_id bigint) returns jsonb
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
    v_verdict := dead_letter_verdict_v2(p_id, p_unknown);
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
