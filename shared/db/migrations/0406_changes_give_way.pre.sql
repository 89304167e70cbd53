-- A customer changed what an earlier message says (`p_content`, at `p_sent_at`), or deleted it (null). It is answered as it is now:
--   not come yet        the change is kept until it comes, where `p_is_kept` says so
--   not saved yet       what is saved is the new text
--   not answered yet    whoever answers it, or a later message with it, reads it once more
--   reply not left yet  the reply is superseded, and the message answered anew; or a later one with it, if that is not answered yet
--   reply left          stays as it is; the model reads the new text with the next message
-- A deleted message that nobody has answered is answered no more. `p_names`: of who did it; none where the channel did not say.
-- `p_marks`: of the message, by which one is known whose author was erased. Returns {outcome, tickets}:
--   changed, unchanged
--   kept      until it comes
--   unknown   it has not come and is not kept; or it is no customer's
--   foreign   it is another customer's
--   again     nothing has happened: it came at this moment, or somebody else was at work on the same rows; to be called again
-- What its customer deleted is quoted no more in any case. It waits for nobody longer than a tenth of a second, as contact_learn_v1:
-- a job in line is locked before its ordering key here, and by whoever ends the job before it behind the key.
create function message_change_v4(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text, p_content text,
                                  p_data jsonb, p_sent_at float8, p_is_kept boolean, p_marks text[])
returns jsonb language plpgsql set lock_timeout = '100ms' as $$
declare
    v_at      timestamptz := coalesce(to_timestamp(p_sent_at), clock_timestamp());
    v_data    jsonb := coalesce(p_data, '{}');
    v_job     job;
    v_message message;
    v_reply   message;
    v_is_ours boolean;
    v_moved_to bigint;
    v_tickets jsonb := '[]';
begin
    -- `+ 0` below: the replies of this conversation are few, all newer ones of the index of reply_to are not.
    select * into v_job from job
    where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text) and closed_at is null for update;
    if found then
        if not is_same_person(p_chatbot_id, p_channel, p_names, array(
                select v_job.payload ->> 'external_user_id'
                union all select jsonb_array_elements_text(coalesce(v_job.payload -> 'identities', '[]')))) then
            return jsonb_build_object('outcome', 'foreign', 'tickets', v_tickets);
        end if;
        update job set payload = payload_changed(payload, p_content, v_data, v_at) where id = v_job.id;
        return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
    end if;

    select message.* into v_message from message
    where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'user';
    if not found then
        v_is_ours := exists (
            select from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'assistant'
            union all
            select from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'agent');
        if v_is_ours or exists (select from tombstone where mark = any (p_marks)) then
            return jsonb_build_object('outcome', 'unknown', 'tickets', v_tickets);
        end if;
        if p_content is null then
            perform quotes_remove_v2(p_chatbot_id, p_channel, p_names, p_external_id);
        end if;
        return jsonb_build_object('tickets', v_tickets, 'outcome', case when not p_is_kept then 'unknown'
            when change_park(p_chatbot_id, p_channel, p_names, p_external_id, p_content, v_data, v_at) then 'kept' else 'again' end);
    elsif not is_same_person(p_chatbot_id, p_channel, p_names, array[v_message.address, (
            select external_user_id from conversation where id = v_message.conversation_id)]) then
        return jsonb_build_object('outcome', 'foreign', 'tickets', v_tickets);
    elsif v_message.revoked_at is not null or v_message.content = p_content or v_message.edited_at > v_at then
        return jsonb_build_object('outcome', 'unchanged', 'tickets', v_tickets);
    end if;

    -- A reply may be saved, and go from one queue to the next, while its job's row is waited for.
    for v_round in 1..10 loop
        select * into v_reply from message
        where conversation_id = v_message.conversation_id and reply_to + 0 >= v_message.id order by reply_to + 0 limit 1;
        if not found then
            -- By its message: of two that were in progress when conversations became one, each has kept its ordering key.
            select * into v_job from job
            where queue = 'ai-processing' and closed_at is null and state <> 'failed' and message_id = any (array(
                select id from message
                where conversation_id = v_message.conversation_id and id >= v_message.id and role not in ('assistant', 'agent')))
            order by message_id, id limit 1 for update;
            -- Once more: the row that was waited for may have got a later message.
            continue when not found and (v_round = 1 or exists (
                select from message where conversation_id = v_message.conversation_id and reply_to + 0 >= v_message.id));
            v_tickets := case when found then job_read_again(v_job.id) else v_tickets end;
        elsif v_reply.status = 'PENDING' then
            select * into v_job from job
            where message_id = v_reply.id and closed_at is null and state <> 'failed' order by id limit 1 for update;
            continue when not found and v_round < 10;
            if found and v_job.state <> 'active' and v_job.outcome_unknown_since is null and not v_reply.metadata ? 'parts_sent' then
                v_tickets := reply_withdraw(v_reply, v_job);
            end if;
        end if;
        exit;
    end loop;

    update message set updated_at = clock_timestamp(),
        content = coalesce(p_content, content), data = data || v_data,
        edited_at = case when p_content is null then edited_at else v_at end,
        revoked_at = case when p_content is null then v_at end,
        metadata = case when p_content is not null and metadata ? 'unsupported'
            then metadata - 'unsupported' || jsonb_build_object('attachment', metadata -> 'unsupported') else metadata end
    where id = v_message.id returning conversation_id into v_moved_to;
    if v_moved_to is distinct from v_message.conversation_id then
        raise lock_not_available; -- it was merged into another meanwhile, or is gone
    end if;
    if p_content is null then
        perform quotes_remove_v2(p_chatbot_id, p_channel, p_names, p_external_id);
    end if;
    return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
exception when lock_not_available then
    return '{"outcome": "again", "tickets": []}';
end $$;
