-- Acks of WAHA may name a chat by @lid that the send named by @c.us: they are compared by WhatsApp's own id from now on.
-- Sends of the last week, for which acks may still come.
update message set external_id = regexp_replace(external_id, '^true_[^_@]+@[^_]+_([^_]+).*$', '\1')
where channel = 'whatsapp_qr' and role = 'assistant' and external_id like 'true\_%' and created_at > now() - interval '7 days';
