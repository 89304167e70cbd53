-- name: is_erased(marks)
select exists (select from tombstone where mark = any (:marks))

-- name: prune(after, age, batch)
with deleted_marks as (
    delete from tombstone where mark = any (array(
        select mark from tombstone where erased_at >= :after and erased_at < now() - make_interval(secs => :age)
        order by erased_at limit :batch))
    returning erased_at
)
select count(*) as rows, max(erased_at) as last from deleted_marks
