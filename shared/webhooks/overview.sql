-- name: states(customer_id, endpoint_id, newest, tried)
-- Of each endpoint, or this one: how many of its newest events wait, how many of all failed, and the last failure among its newest
-- attempts. Each is bounded: an endpoint may have millions.
select endpoint.id, counts.looked_at, counts.waiting, failures.failed, failure.failed_at
from webhook_endpoint endpoint
cross join lateral (
    select count(*) as looked_at, count(*) filter (where status = 'PENDING') as waiting
    from (select status from webhook_event where endpoint_id = endpoint.id order by id desc limit :newest) newest_events) counts
cross join lateral (
    select count(*) as failed from (
        select from webhook_event where endpoint_id = endpoint.id and error is not null and status = 'FAILED' limit :newest) failed_events
) failures
left join lateral (
    select max(started_at) filter (where error is not null) as failed_at
    from (select started_at, error from webhook_attempt where endpoint_id = endpoint.id order by id desc limit :tried) newest_attempts
) failure on true
where endpoint.customer_id = :customer_id and (:endpoint_id::bigint is null or endpoint.id = :endpoint_id)
