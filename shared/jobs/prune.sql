-- name: prune_jobs(state, after, age, reach, batch)
-- now(), not clock_timestamp(): only what is stable for a statement bounds an index scan.
with deleted_jobs as (
    delete from job where id = any (array(
        select id from job where state = :state
            and closed_at >= greatest(:after::timestamptz, now() - make_interval(secs => :age::float8 + :reach))
            and closed_at < now() - make_interval(secs => :age)
        order by closed_at limit :batch))
    returning closed_at
)
select count(*) as rows, max(closed_at) as last from deleted_jobs
