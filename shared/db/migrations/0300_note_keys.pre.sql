-- A note that is sent twice by the same form is one note.
alter table conversation_note add column idempotency_key text check (length(idempotency_key) <= 200);
