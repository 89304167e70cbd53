-- Until when WhatsApp lets a business write what it likes. Conversations of before learn it from their next message.
alter table conversation add column window_ends_at timestamptz;
