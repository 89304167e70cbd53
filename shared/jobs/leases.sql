-- The leases of one process, all at once.

-- name: renew_leases(ids, claims, lease)
select job_renew_leases_v1(:ids::bigint[], :claims::integer[], :lease)

-- name: release_leases(ids, claims, at_most_once)
select job_release_leases_v1(:ids::bigint[], :claims::integer[], :at_most_once::boolean[]) as tickets
