-- Counts what failed of an endpoint without looking at all else. By `error` and not by `status`, for a first delivery changes only the
-- status: it still rewrites no index (a HOT update).
create index webhook_event_error_idx on webhook_event (endpoint_id) where error is not null;
