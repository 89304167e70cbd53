-- E-mails of handoffs and budgets: which ones were told of (shared/people/notices.py).
alter table conversation add column handoff_told_at timestamptz;
alter table budget add column told_at timestamptz;

-- As before, with the handoff that was told of.
create or replace function conversation_merge(p_from bigint, p_into bigint) returns void language plpgsql as $$
declare
    v_from     conversation;
    v_into     conversation;
    v_queue    text;
    v_has_head boolean;
begin
    select * into v_from from conversation where id = p_from for update;
    select * into v_into from conversation where id = p_into for no key update;
    for v_queue in select unnest(array['media-fetch', 'ai-processing', 'outgoing-messages', send_queue]) from channel
                   where name = v_from.channel loop
        continue when v_queue is null;
        perform job_lock(v_queue, array[p_from::text, p_into::text]);
        v_has_head := (select true from job where queue = v_queue and ordering_key = p_into::text
                                              and closed_at is null and not held) is not null;
        update job set ordering_key = p_into::text, held = held or v_has_head,
            payload = payload || case when payload ? 'conversation_id' then jsonb_build_object('conversation_id', p_into)
                                      else '{}' end
        where queue = v_queue and ordering_key = p_from::text and closed_at is null
          and (held or not v_has_head or state in ('waiting', 'delayed'));
    end loop;
    update message set conversation_id = p_into, address = coalesce(address, v_from.external_user_id),
        -- The same key means the message that the surviving conversation has.
        idempotency_key = case when not exists (
            select from message other where other.conversation_id = p_into and other.idempotency_key = message.idempotency_key)
            then idempotency_key end
    where conversation_id = p_from;
    update conversation_note set conversation_id = p_into where conversation_id = p_from;
    -- A person who has one of them has both; if both had one, the later time to go back counts. Else one that is open stays open.
    if v_from.owner = v_into.owner then
        v_into.owner_since := greatest(v_into.owner_since, v_from.owner_since);
        if v_into.returns_at < v_from.returns_at or v_from.returns_at is null then
            v_into.returns_at := v_from.returns_at;
            v_into.return_after_minutes := v_from.return_after_minutes;
        end if;
    elsif v_from.owner = 'person' or v_into.owner = 'closed' then
        v_into.owner := v_from.owner;
        v_into.owner_since := v_from.owner_since;
        v_into.returns_at := v_from.returns_at;
        v_into.return_after_minutes := v_from.return_after_minutes;
    end if;
    update conversation set
        owner = v_into.owner,
        owner_since = v_into.owner_since,
        returns_at = v_into.returns_at,
        return_after_minutes = v_into.return_after_minutes,
        created_at = least(created_at, v_from.created_at),
        updated_at = greatest(updated_at, v_from.updated_at),
        revision = greatest(revision, v_from.revision),
        braked_until = greatest(braked_until, v_from.braked_until),
        brakes = greatest(brakes, v_from.brakes),
        handed_over_at = case when handed_over_at > v_from.handed_over_at then handed_over_at
                              else coalesce(v_from.handed_over_at, handed_over_at) end,
        handover_reason = case when handed_over_at > v_from.handed_over_at then handover_reason
                               else coalesce(v_from.handover_reason, handover_reason) end,
        window_ends_at = greatest(window_ends_at, v_from.window_ends_at),
        context_after = greatest(context_after, v_from.context_after),
        active_at = greatest(active_at, v_from.active_at),
        assigned_to = case when v_into.owner = 'person' then coalesce(assigned_to, v_from.assigned_to) end,
        handoff_told_at = greatest(handoff_told_at, v_from.handoff_told_at)
    where id = p_into;
    update merged_conversation set conversation_id = p_into where conversation_id = p_from;
    insert into merged_conversation (id, conversation_id) values (p_from, p_into);
    delete from conversation where id = p_from;
end $$;
