-- name: failing(notice, after, alive)
-- Active endpoints that have only failed for long enough to be told, and are still called: `is_over` once it is time to disable them.
select id, customer_id, failing_since + make_interval(secs => :after) as disables_at, warned_at is not null as is_warned,
    failing_since < now() - make_interval(secs => :after)
        and warned_at < now() - make_interval(secs => least(:alive::float8, :after::float8 - :notice::float8)) as is_over
from webhook_endpoint
where failing_since < now() - make_interval(secs => :notice) and active and (
    select started_at from webhook_attempt where endpoint_id = webhook_endpoint.id order by id desc limit 1
) > now() - make_interval(secs => :alive)
order by id limit 1000

-- name: clear_record(endpoint_id, newest)
-- Where one of its newest attempts was a success after all. Whoever recorded that did not wait for the endpoint's row (webhooks.sql).
update webhook_endpoint set failing_since = null, warned_at = null
where id = :endpoint_id and failing_since is not null and exists (
    select from (select started_at, error from webhook_attempt where endpoint_id = :endpoint_id order by id desc limit :newest) attempt
    where error is null and started_at >= failing_since)
returning id
