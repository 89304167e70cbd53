-- What operators act upon: dead letters as rows of their own, and bulk actions.
create table bulk_action (
    id          bigint generated always as identity primary key,
    kind        text not null check (kind ~ '^[a-z_]+$'),
    name        text,
    customer_id bigint references customer on delete cascade,
    filter      jsonb not null check (jsonb_typeof(filter) = 'object'),
    until       timestamptz not null default now(),
    total       integer not null check (total >= 0),
    counts      jsonb not null default '{}' check (jsonb_typeof(counts) = 'object'),
    pace        real not null check (pace > 0),
    position    bigint not null default 0,
    stepped_at  timestamptz not null default now(),
    state       text not null default 'running' check (state in ('running', 'stopped', 'done')),
    created_by  text not null check (created_by <> ''),
    created_at  timestamptz not null default now(),
    stopped_by  text,
    finished_at timestamptz,
    check ((state = 'running') = (finished_at is null)),
    check ((state = 'stopped') = (stopped_by is not null))
);
create index bulk_action_running_idx on bulk_action (id) where state = 'running';
create index bulk_action_customer_idx on bulk_action (customer_id, id desc);

create table dead_letter (
    id               bigint generated always as identity primary key,
    job_id           bigint not null unique,
    queue            text not null,
    channel          text,
    error_code       text not null check (error_code <> ''),
    error            text not null,
    customer_id      bigint references customer on delete cascade,
    chatbot_id       bigint,
    conversation_id  bigint,
    message_id       bigint,
    webhook_event_id bigint,
    endpoint_id      bigint,
    attempts         integer not null check (attempts >= 0),
    outcome_unknown  boolean not null,
    failures         integer not null default 1 check (failures > 0),
    began_at         timestamptz not null,
    failed_at        timestamptz not null default now(),
    state            text not null default 'open' check (state in ('open', 'replayed', 'answered', 'ignored')),
    changed_by       text,
    changed_at       timestamptz,
    bulk_action_id   bigint references bulk_action on delete set null,
    check ((state = 'open') = (changed_at is null))
);
create index dead_letter_open_idx on dead_letter (queue, error_code, id) where state = 'open';
create index dead_letter_customer_idx on dead_letter (customer_id, id);
create index dead_letter_message_idx on dead_letter (message_id) where message_id is not null;
create index dead_letter_action_idx on dead_letter (bulk_action_id) where bulk_action_id is not null;
create index dead_letter_failed_idx on dead_letter (failed_at);

create function dead_letter_code(p_error text) returns text language sql immutable parallel safe as $$
    select case
        when p_error like 'poison:%' then 'poison'
        when p_error like 'bad payload:%' then 'bad_payload'
        when p_error like 'outcome unknown%' then 'outcome_unknown'
        when p_error like 'deleted by an operator%' then 'deleted'
        when p_error ~ 'HTTP [1-5][0-9][0-9]' then 'http_' || substring(p_error from 'HTTP ([1-5][0-9][0-9])')
        when p_error ~ '^[A-Z][A-Za-z]+: ' then lower(regexp_replace(substring(p_error from '^([A-Za-z]+): '),
            '([a-z])([A-Z])', '\1_\2', 'g'))
        else 'other' end
$$;

create function job_died() returns trigger language plpgsql as $$
begin
    if new.webhook_event_id is not null and exists (
        select from webhook_event where id = new.webhook_event_id and next_attempt_at is not null) then
        return null;
    end if;
    insert into dead_letter as letter (job_id, queue, channel, error_code, error, customer_id, chatbot_id, conversation_id, message_id,
        webhook_event_id, endpoint_id, attempts, outcome_unknown, began_at, failed_at)
    select new.id, new.queue, coalesce(message.channel, left(new.payload ->> 'channel', 50)),
        coalesce(case when starts_with(message.error, new.last_error) then message.metadata ->> 'error_code' end,
            dead_letter_code(new.last_error)), new.last_error,
        (select id from customer where id = new.customer_id),
        coalesce(message.chatbot_id, substring(new.payload ->> 'chatbot_id' from '^[0-9]{1,18}$')::bigint), message.conversation_id,
        new.message_id, new.webhook_event_id, (select endpoint_id from webhook_event where id = new.webhook_event_id), new.attempts,
        new.outcome_unknown_since is not null, coalesce(new.started_at, new.created_at), new.closed_at
    from (select) once left join message on message.id = new.message_id
    on conflict (job_id) do update set state = 'open', changed_by = null, changed_at = null, failures = letter.failures + 1,
        error_code = excluded.error_code, error = excluded.error, attempts = excluded.attempts,
        outcome_unknown = excluded.outcome_unknown, failed_at = excluded.failed_at;
    return null;
end $$;
create trigger job_died after update of closed_at on job
    for each row when (new.state = 'failed' and new.closed_at is not null and old.closed_at is null) execute function job_died();

-- What would become of a dead letter that is replayed now: 'ready'; or why not. Not yet, or never:
-- done           it is no open dead letter any more       delivered     it arrived after all, or its question was answered
-- under_way      another job is at it                     answered      a person has answered since, or has the conversation
-- outcome_unknown it may have arrived (unless p_unknown)  closed        its conversation was closed
-- window_closed  WhatsApp's 24 hours are over             gone          what it was about, or the record of its job
-- channel_down   its account cannot send                  endpoint_off  its endpoint was switched off
-- not_repeatable its owner repeats it elsewhere
create function dead_letter_verdict_v1(p_id bigint, p_unknown boolean) returns text language plpgsql stable as $$
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
        when v_letter.queue <> 'ai-processing' and not reply_may_leave_v1(v_message.reply_to, v_message.created_at, v_conversation.owner,
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

-- Replays a dead letter: its job runs again as if it were new (job_requeue_v1), or a new one does where its record was pruned. A
-- question that got the fallback message is asked again: the fallback stays what the customer read, and is no answer any more. Returns
-- {outcome, tickets}; the outcome is 'replayed', 'busy', or the verdict.
create function dead_letter_replay_v1(p_id bigint, p_unknown boolean, p_by text, p_action_id bigint) returns jsonb
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
    if v_job.id is null then -- its job is pruned, so an event may be resent at this moment
        perform from webhook_event where id = v_letter.webhook_event_id for no key update;
    end if;
    select * into v_message from message where id = v_letter.message_id for no key update;
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
        v_requeued := job_requeue_v1(v_job.id);
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
