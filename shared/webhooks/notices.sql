-- name: add(endpoint_id, state, disables_at)
insert into endpoint_notice (endpoint_id, user_id, state, disables_at)
select webhook_endpoint.id, app_user.id, :state, :disables_at
from webhook_endpoint join app_user using (customer_id)
where webhook_endpoint.id = :endpoint_id and role = 'owner' and disabled_at is null
on conflict (endpoint_id, user_id, state) do update set disables_at = excluded.disables_at, attempts = 0, due_at = now(),
    created_at = now()

-- name: claim(batch, lease)
-- Those that are due, which nobody else tries until the lease is over. `is_true`: the endpoint was not repaired meanwhile.
with due_notices as materialized (
    select id from endpoint_notice where due_at <= now() order by due_at limit :batch for update skip locked
), claimed_notices as (
    update endpoint_notice set due_at = now() + make_interval(secs => :lease), attempts = attempts + 1
    where id = any (array(select id from due_notices)) returning *
)
select notice.id, notice.state, notice.disables_at, notice.attempts, endpoint.id as endpoint_id, endpoint.url, endpoint.disabled_reason,
    app_user.email,
    app_user.disabled_at is null
        and case notice.state when 'failing' then endpoint.active and endpoint.warned_at is not null else not endpoint.active end as is_true
from claimed_notices notice join webhook_endpoint endpoint on endpoint.id = notice.endpoint_id
    join app_user on app_user.id = notice.user_id
