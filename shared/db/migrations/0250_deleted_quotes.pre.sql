-- What a customer deleted is quoted no more, also where we never had it but in the quote.
-- The conversations of a channel's customer, by any of their names.
create function conversations_of(p_chatbot_id bigint, p_channel text, p_external_user_id text) returns bigint[]
language sql stable as $$
    select array(
        select id from conversation
        where chatbot_id = p_chatbot_id and channel = p_channel and external_user_id = p_external_user_id
        union
        select conversation.id from contact_identity join conversation using (contact_id)
        where contact_identity.chatbot_id = p_chatbot_id and family = contact_family_v1(p_channel)
          and name = contact_name_v1(p_channel, p_external_user_id) and channel = p_channel)
$$;

-- What was deleted is quoted in none of these conversations any more.
create function quotes_remove(p_conversation_ids bigint[], p_external_id text) returns void language sql as $$
    update message set data = data #- '{quoted,text}'
    where conversation_id = any (p_conversation_ids) and data #>> '{quoted,id}' = p_external_id and data #> '{quoted,text}' is not null
$$;

create function message_change_v2(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                                  p_content text, p_data jsonb, p_sent_at float8) returns jsonb language plpgsql as $$
declare
    v_at      timestamptz := coalesce(to_timestamp(p_sent_at), clock_timestamp());
    v_job     job;
    v_message message;
    v_reply   message;
    v_tickets jsonb := '[]';
begin
    -- `+ 0` below: the replies of this conversation are few, all newer ones of the index of reply_to are not.
    select * into v_job from job
    where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text) and closed_at is null for update;
    if found then
        if p_external_user_id not in ('', v_job.payload ->> 'external_user_id') then
            return jsonb_build_object('outcome', 'unknown', 'tickets', v_tickets);
        end if;
        update job set payload = payload || case when p_content is null then '{"may_answer": false, "is_revoked": true}'
            else jsonb_build_object('content', p_content, 'edited_at', extract(epoch from v_at),
                'metadata', coalesce(payload -> 'metadata', '{}') - 'unsupported',
                'data', coalesce(payload -> 'data', '{}') || coalesce(p_data, '{}')) end
        where id = v_job.id;
        return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
    end if;

    select message.* into v_message from message join conversation on conversation.id = message.conversation_id
    where message.chatbot_id = p_chatbot_id and message.channel = p_channel and message.external_id = p_external_id
      and message.role = 'user' and (p_external_user_id in ('', conversation.external_user_id, message.address) or exists (
        select from contact_identity where chatbot_id = p_chatbot_id and family = contact_family_v1(p_channel)
            and name = contact_name_v1(p_channel, p_external_user_id) and contact_id = conversation.contact_id));
    if not found then
        if p_content is null and p_external_user_id <> '' then
            update job set payload = payload #- '{data,quoted,text}'
            where queue = 'incoming-messages' and closed_at is null and payload #>> '{data,quoted,id}' = p_external_id
              and ordering_key = p_chatbot_id || ':' || p_channel || ':' || p_external_user_id;
            perform quotes_remove(conversations_of(p_chatbot_id, p_channel, p_external_user_id), p_external_id);
        end if;
        return jsonb_build_object('outcome', 'unknown', 'tickets', v_tickets);
    elsif v_message.revoked_at is not null or v_message.content = p_content or v_message.edited_at > v_at then
        return jsonb_build_object('outcome', 'unchanged', 'tickets', v_tickets);
    end if;

    -- A reply may be saved, and go from one queue to the next, while its job's row is waited for.
    for v_round in 1..10 loop
        select * into v_reply from message
        where conversation_id = v_message.conversation_id and reply_to + 0 >= v_message.id order by reply_to + 0 limit 1;
        if not found then
            select * into v_job from job
            where queue = 'ai-processing' and ordering_key = v_message.conversation_id::text and closed_at is null
              and message_id >= v_message.id and state <> 'failed' order by id limit 1 for update;
            continue when not found and exists (
                select from message where conversation_id = v_message.conversation_id and reply_to + 0 >= v_message.id);
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
        content = coalesce(p_content, content), data = data || coalesce(p_data, '{}'),
        edited_at = case when p_content is null then edited_at else v_at end,
        revoked_at = case when p_content is null then v_at end,
        metadata = case when p_content is not null and metadata ? 'unsupported'
            then metadata - 'unsupported' || jsonb_build_object('attachment', metadata -> 'unsupported') else metadata end
    where id = v_message.id;
    if p_content is null then
        perform quotes_remove(array[v_message.conversation_id], p_external_id);
    end if;
    return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
end $$;
