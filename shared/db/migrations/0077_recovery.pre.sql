-- A recovery goes through an endpoint's events in pages.
drop index webhook_event_endpoint_idx;
create index webhook_event_endpoint_idx on webhook_event (endpoint_id, id);
