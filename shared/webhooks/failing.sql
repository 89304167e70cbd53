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
