-- name: lock(customer_id)
-- Two files of one customer are counted one after the other.
select pg_advisory_xact_lock(hashtextextended('media ' || :customer_id, 2))

-- name: want(customer_id, hash, size, quota, longest)
-- A message has this file: since when, if it may be stored, or is already; nothing while its bytes are being deleted.
with used as (
    select coalesce(sum(size), 0) as bytes from media_file where customer_id = :customer_id and sha256 <> :hash
)
insert into media_file (customer_id, sha256, size, wanted_at) select :customer_id, :hash, :size, clock_timestamp() from used
where bytes + :size <= :quota or exists (select from media_file where customer_id = :customer_id and sha256 = :hash)
on conflict (customer_id, sha256) do update set wanted_at = clock_timestamp(), deleting_at = null
    where media_file.deleting_at is null or media_file.deleting_at < now() - make_interval(secs => :longest)
returning wanted_at

-- name: give(customer_id, hash)
-- A message gets this file, in the same transaction: nobody deletes the bytes meanwhile. Nothing, if somebody does, or has since they
-- were stored, as whoever erases the only person that had the same file.
update media_file set wanted_at = clock_timestamp() where customer_id = :customer_id and sha256 = :hash and deleting_at is null
returning true

-- name: has_room(customer_id, hash, size, quota)
-- Whether the quota is no reason to refuse this file. Not whether its bytes are being deleted: that may have ended since it was refused.
select exists (select from media_file where customer_id = :customer_id and sha256 = :hash)
    or (select coalesce(sum(size), 0) from media_file where customer_id = :customer_id) + :size <= :quota

-- name: expire(days, batch, hours)
-- Media that were kept for long enough, and their files with them where nobody else has these (unwanted).
-- Each business says for how long, or the settings do.
with old_media as materialized (
    select oldest.id from customer, lateral (
        select id from media where customer_id = customer.id and state = 'stored'
            and created_at < now() - make_interval(days => coalesce(customer.keep_media_days, :days))
        order by created_at limit :batch for update skip locked) oldest
    where coalesce(customer.keep_media_days, :days) > 0 limit :batch
), expired_media as (
    update media set state = 'deleted', storage_key = null where id = any (array(select id from old_media))
    returning id, customer_id, sha256
), released_files as ( -- but what was stored again lately, and has no message yet
    update media_file file set wanted_at = '-infinity'
    where (customer_id, sha256) in (select customer_id, sha256 from expired_media)
        and wanted_at < now() - make_interval(hours => :hours)
        and not exists (select from media where media.customer_id = file.customer_id and media.sha256 = file.sha256
                            and media.state = 'stored' and media.id <> all (array(select id from old_media)))
)
select id from expired_media

-- name: release(customer_id, hash, wanted_at)
-- It need not wait a day for its message. Whoever stored it since may have none yet that has it.
update media_file file set wanted_at = '-infinity'
where customer_id = :customer_id and sha256 = :hash and wanted_at = :wanted_at
    and not exists (select from media where media.customer_id = file.customer_id and media.sha256 = file.sha256
                        and media.state = 'stored')
    and not exists (
        select from job where queue = 'incoming-messages' and closed_at is null and id > 0 and job.customer_id = :customer_id
            and payload @> jsonb_build_object('media', jsonb_build_array(jsonb_build_object('sha256', file.sha256))))
returning true

-- name: end_of_page(customer_id, hash, page)
-- The last file of the page behind this one; nothing where it is the last page.
select customer_id, sha256 as hash from media_file where (customer_id, sha256) > (:customer_id, :hash)
order by customer_id, sha256 offset :page - 1 limit 1

-- name: unwanted(hours, longest, batch, after_customer_id, after_hash, until_customer_id, until_hash)
-- Of those that were released, which are first, and of a page of all others: files that no message has. They are of deleted messages and
-- customers, or their message never came. Not those whose message waits to be saved, as while incoming-messages is paused, or has failed
-- and may be replayed.
with looked_at as materialized ( -- by these indexes, and no other
    select customer_id, sha256, wanted_at, deleting_at from media_file where wanted_at = '-infinity'
    union
    select customer_id, sha256, wanted_at, deleting_at from media_file
    where (customer_id, sha256) > (:after_customer_id, :after_hash)
        and (:until_customer_id::bigint is null or (customer_id, sha256) <= (:until_customer_id::bigint, :until_hash::text))
), files_without_message as materialized ( -- few, so that jobs are looked at for these only
    select customer_id, sha256, wanted_at from looked_at file
    where wanted_at < now() - make_interval(hours => :hours)
        and (deleting_at is null or deleting_at < now() - make_interval(secs => :longest))
        -- Not `exists`: PostgreSQL may join to all media, where it does not know yet how many there are.
        and (select media.id from media where media.customer_id = file.customer_id and media.sha256 = file.sha256
                and media.state = 'stored' limit 1) is null
)
select customer_id, sha256 as hash from files_without_message file
where not exists (
        select from job where queue = 'incoming-messages' and closed_at is null and id > 0 and job.customer_id = file.customer_id
            and payload @> jsonb_build_object('media', jsonb_build_array(jsonb_build_object('sha256', file.sha256))))
    and not exists (
        select from job where job.customer_id = file.customer_id and queue = 'incoming-messages' and closed_at is not null
            and state = 'failed' and payload @> jsonb_build_object('media', jsonb_build_array(jsonb_build_object('sha256', file.sha256))))
order by wanted_at limit :batch

-- name: begin_deletion(customer_id, hash, hours, longest)
-- Nothing, if it is wanted again, or somebody else deletes it. The caller deletes the bytes, then the row; if it never does, another does.
update media_file file set deleting_at = clock_timestamp()
where customer_id = :customer_id and sha256 = :hash and wanted_at < now() - make_interval(hours => :hours)
    and (deleting_at is null or deleting_at < now() - make_interval(secs => :longest))
    and not exists (select from media where media.customer_id = file.customer_id and media.sha256 = file.sha256
                        and media.state = 'stored')
returning deleting_at

-- name: forget(customer_id, hash, deleting_at)
delete from media_file where customer_id = :customer_id and sha256 = :hash and deleting_at = :deleting_at

-- name: keep(customer_id, hash, deleting_at)
-- Its bytes could not be deleted; the next look tries again.
update media_file set deleting_at = null where customer_id = :customer_id and sha256 = :hash and deleting_at = :deleting_at
