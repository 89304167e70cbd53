-- Who may answer: a conversation belongs to the bot, to a person, or is closed.

alter table chatbot
    add column return_after_minutes integer not null default 60 check (return_after_minutes between 0 and 43200);

alter table conversation
    add column owner text not null default 'bot' check (owner in ('bot', 'person', 'closed')),
    add column owner_since timestamptz,
    add column returns_at timestamptz,
    add column return_after_minutes integer check (return_after_minutes between 1 and 43200),
    add constraint conversation_check1 check (returns_at is null or owner = 'person');
create index conversation_returns_idx on conversation (returns_at) where returns_at is not null;

-- What the bot handed over within the last hour is a person's now. What it handed over before that goes back, as it does today.
update conversation set owner = 'person', owner_since = handed_over_at, return_after_minutes = 60,
    returns_at = handed_over_at + interval '1 hour'
where handed_over_at > now() - interval '1 hour';
update conversation set handed_over_at = null, handover_reason = null where owner = 'bot' and handed_over_at is not null;

alter table message
    drop constraint message_status_check,
    add constraint message_status_check check (status in ('PENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED', 'SUPERSEDED'));

create function status_rank_v2(status text) returns integer language sql immutable parallel safe as $$
    select case status when 'PENDING' then 0 when 'SENT' then 1 when 'FAILED' then 2 when 'SUPERSEDED' then 2
                       when 'DELIVERED' then 3 when 'READ' then 4 end
$$;

create function message_set_status_v2(p_id bigint, p_status text, p_error text default null, p_external_id text default null,
                                      p_attempts integer default null, p_metadata jsonb default '{}')
returns boolean language plpgsql as $$
declare
    v_moves boolean;
begin
    select status_rank_v2(status) < status_rank_v2(p_status) into v_moves
    from message where id = p_id and role = 'assistant' for no key update;
    update message set
        status = case when v_moves then p_status else status end,
        error = case when v_moves and p_status = 'FAILED' then coalesce(p_error, 'the channel reported a failure')
                     when p_attempts is null or status = 'FAILED' and not v_moves then error end,
        external_id = case when p_attempts is null then coalesce(external_id, p_external_id)
                           else coalesce(p_external_id, external_id) end,
        attempts = coalesce(p_attempts, attempts), metadata = metadata || p_metadata, updated_at = clock_timestamp()
    where id = p_id and role = 'assistant' and (v_moves or p_attempts is not null);
    return found;
end $$;

alter table webhook_endpoint
    drop constraint webhook_endpoint_events_check,
    add constraint webhook_endpoint_events_check check (
        events <@ '{message.received,message.sent,message.failed,conversation.braked,conversation.handoff,'
            'conversation.assigned,conversation.returned}'::text[]
        and cardinality(events) > 0),
    alter column events set default
        '{message.received,message.sent,message.failed,conversation.braked,conversation.handoff,'
            'conversation.assigned,conversation.returned}';
