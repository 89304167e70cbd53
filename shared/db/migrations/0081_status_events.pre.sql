-- Events of a reply's status (delivered, read, failed by the channel's word) and of a template's.

-- What a status says of a reply, where somebody wants to hear it; else null. That a reply left is said by the stage that sent it.
create function message_status_event_v1(p_id bigint, p_status text, p_error text, p_error_code text)
returns jsonb language sql stable as $$
    select message_event_v2(wanted.event, chatbot.customer_id, message.chatbot_id, message.conversation_id, message.channel, p_id,
        jsonb_build_object('reply_to', message.reply_to) || case when p_status = 'FAILED' then jsonb_build_object(
            'error', coalesce(p_error, 'the channel reported a failure'), 'error_code', p_error_code) else '{}' end)
    from message join chatbot on chatbot.id = message.chatbot_id,
        (values ('DELIVERED', 'message.delivered'), ('READ', 'message.read'), ('FAILED', 'message.failed')) wanted(status, event)
    where message.id = p_id and wanted.status = p_status and exists (
        select from webhook_endpoint where customer_id = chatbot.customer_id and active and wanted.event = any (events))
$$;

-- What WhatsApp has decided about templates [{name, language, status, reason}] of an account, for each business that has a number of
-- it. Returns the tickets to enqueue.
create function template_events_add_v1(p_waba_id text, p_templates jsonb) returns jsonb language sql as $$
    select webhook_emit(coalesce(jsonb_agg(customer_event_v1('template.status', customer_id, jsonb_build_object(
        'channel', 'whatsapp_cloud', 'waba_id', p_waba_id, 'name', template ->> 'name', 'language', template ->> 'language',
        'status', template ->> 'status', 'reason', template ->> 'reason'))), '[]'))
    from jsonb_array_elements(p_templates) template, (
        select distinct chatbot.customer_id from whatsapp_cloud_account account join chatbot on chatbot.id = account.chatbot_id
        where account.waba_id = p_waba_id) customers
$$;
