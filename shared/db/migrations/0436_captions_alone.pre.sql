-- A caption's new words that come without their picture are accepted by themselves where the picture never comes.
alter table parked_change add column payload jsonb check (jsonb_typeof(payload) = 'object');
create index parked_change_payload_idx on parked_change (received_at) where payload is not null;
