-- A status belongs to the chatbot whose number or session told it: a gateway's ids can be guessed, and one tenant's must not move
-- another's replies. Those that are parked now are anybody's for their hour.
alter table parked_status add column chatbot_id bigint references chatbot on delete cascade;
create index parked_status_chatbot_idx on parked_status (chatbot_id);
