-- Workers of the last release wrote their events with it.
drop function message_event_v1(text, bigint, bigint, bigint, text, bigint, jsonb);
