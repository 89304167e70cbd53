-- name: prune_gaps(after, age, batch)
-- now(), not clock_timestamp(): only what is stable for a statement bounds an index scan.
with deleted_gaps as (
    delete from knowledge_gap where id = any (array(
        select id from knowledge_gap where created_at >= :after and created_at < now() - make_interval(secs => :age)
        order by created_at limit :batch))
    returning created_at
)
select count(*) as rows, max(created_at) as last from deleted_gaps
