-- What owners do with their sources. `tickets` are the jobs to enqueue after the commit.

-- name: add_source(base_id, kind, location, language, sync_hours)
-- The same location again is the same source. Locked, so that two imports of it at once take turns.
insert into knowledge_source as source (knowledge_base_id, kind, location, language, sync_hours, state)
values (:base_id, :kind, :location, :language, :sync_hours, 'listed')
on conflict (knowledge_base_id, kind, location) do update
    set language = excluded.language, sync_hours = excluded.sync_hours
returning id

-- name: lock(source_id)
select source.id, source.kind, source.location, source.state, base.customer_id
from knowledge_source source join knowledge_base base on base.id = source.knowledge_base_id
where source.id = :source_id for update of source

-- name: is_running(source_id)
select source.state = 'listing' or exists (
    select from knowledge_document document where document.source_id = source.id and document.state = 'waiting') as is_running
from knowledge_source source where source.id = :source_id

-- name: uploaded_bytes(base_id)
-- Of all files of a base's customer that are kept, read or not.
select coalesce(sum(octet_length(upload.body)), 0) as bytes
from knowledge_base base
join knowledge_base own on own.customer_id = base.customer_id
join knowledge_source source on source.knowledge_base_id = own.id and source.kind = 'file'
join knowledge_document document on document.source_id = source.id
join knowledge_upload upload on upload.document_id = document.id
where base.id = :base_id

-- name: add_file(source_id, location)
-- The document of an uploaded file.
insert into knowledge_document (source_id, location) values (:source_id, :location)
on conflict (source_id, location) do update set state = 'waiting', change = null, error = null, items_added = 0, items_removed = 0,
    superseded_job = (
        select max(id) from job where queue = 'knowledge-import' and ordering_key = 'source:' || :source_id and closed_at is null)
returning id

-- name: read_file(source_id, document_id)
-- The job that reads an uploaded file.
with source as (
    update knowledge_source set state = 'listed', error = null, removed = 0, synced_at = now() where id = :source_id
    returning id, knowledge_base_id
)
select job_add_v1(jsonb_build_array(jsonb_build_object('queue', 'knowledge-import', 'customer_id', base.customer_id,
    'ordering_key', 'source:' || source.id,
    'payload', jsonb_build_object('source_id', source.id, 'document_id', :document_id::bigint)))) as tickets
from source join knowledge_base base on base.id = source.knowledge_base_id

-- name: sync(source_id)
-- Has the documents of a page or site found again, unless that is under way.
with source as (
    update knowledge_source source set state = 'listing', error = null, removed = 0, synced_at = now(),
        next_sync_at = now() + make_interval(hours => sync_hours)
    where id = :source_id and kind <> 'file'
    returning id, knowledge_base_id
)
select job_add_v1(jsonb_build_array(jsonb_build_object('queue', 'knowledge-import', 'customer_id', base.customer_id,
    'ordering_key', 'source:' || source.id, 'payload', jsonb_build_object('source_id', source.id)))) as tickets
from source join knowledge_base base on base.id = source.knowledge_base_id

-- name: retry_failed(source_id, ordering_key)
-- Reads again the documents that failed or were stopped. Of a file that is only possible while its bytes are kept.
with failed_documents as (
    update knowledge_document document set state = 'waiting', error = null
    from knowledge_source source
    where source.id = :source_id and document.source_id = source.id and document.state in ('failed', 'stopped')
        and (source.kind <> 'file' or exists (select from knowledge_upload where document_id = document.id))
    returning document.id
), source as (
    update knowledge_source source set state = 'listed' from (select count(*) from failed_documents) failed
    where source.id = :source_id and failed.count > 0
    returning source.id, knowledge_base_id
)
select failed.count, job_add_v1(failed.jobs) as tickets
from (
    select count(*), jsonb_agg(jsonb_build_object('queue', 'knowledge-import', 'customer_id', base.customer_id,
        'ordering_key', :ordering_key,
        'payload', jsonb_build_object('source_id', source.id, 'document_id', failed_documents.id)) order by failed_documents.id)
        as jobs
    from failed_documents cross join source join knowledge_base base on base.id = source.knowledge_base_id
) failed where failed.count > 0

-- name: stop(source_id)
-- What has not been read stays unread: its jobs find nothing to do. What was stored before stays.
with source as (
    update knowledge_source source set state = 'stopped'
    where id = :source_id and (state = 'listing'
        or exists (select from knowledge_document where source_id = source.id and knowledge_document.state = 'waiting'))
    returning id
), stopped_documents as (
    update knowledge_document document set state = 'stopped', error = null
    from source where source_id = source.id and document.state = 'waiting'
    returning document.id
), deleted_uploads as (
    delete from knowledge_upload using stopped_documents where document_id = stopped_documents.id
)
select id from source

-- name: due
-- Customers take turns: one with more sources than can be started keeps no other one waiting.
select id from (
    select source.id, next_sync_at, row_number() over (partition by customer_id order by next_sync_at) as turn
    from knowledge_source source join knowledge_base base on base.id = source.knowledge_base_id
    where next_sync_at <= now()) due_sources
order by turn, next_sync_at limit 100

-- name: postpone(source_id)
-- Of a source that is still being read when it is due.
update knowledge_source set next_sync_at = now() + interval '1 hour' where id = :source_id

-- name: prune_uploads(after, batch)
-- Files that could not be read, a week after: until then they can be tried again.
with deleted_uploads as (
    delete from knowledge_upload where document_id = any (array(
        select document_id from knowledge_upload where created_at >= :after and created_at < now() - interval '7 days'
        order by created_at limit :batch))
    returning created_at
)
select count(*) as rows, max(created_at) as last from deleted_uploads

-- name: progress(customer_id, base_id, source_id, before, most)
-- How sources stand, newest first; null: all of a customer, of a base, every one. A page of them is counted alone.
with page as (
    select source.* from knowledge_source source join knowledge_base base on base.id = source.knowledge_base_id
    where (:customer_id::bigint is null or base.customer_id = :customer_id)
        and (:base_id::bigint is null or base.id = :base_id) and (:source_id::bigint is null or source.id = :source_id)
        and (:before::bigint is null or source.id < :before)
    order by source.id desc limit :most
)
select source.id, source.knowledge_base_id, source.kind, source.location, source.language, source.sync_hours,
    case when source.state = 'listed' then case when documents.waiting > 0 then 'importing' else 'done' end
         else source.state end as state,
    source.error, documents.found, documents.waiting, documents.stored, documents.added, documents.changed, documents.unchanged,
    documents.skipped, documents.failed, source.removed, documents.items, documents.items_added, documents.items_removed,
    source.created_at, source.synced_at, source.next_sync_at
from page source
cross join lateral (
    select count(*) as found, count(*) filter (where state = 'waiting') as waiting,
        count(*) filter (where state = 'stored') as stored, count(*) filter (where change = 'added') as added,
        count(*) filter (where change = 'changed') as changed, count(*) filter (where change = 'unchanged') as unchanged,
        count(*) filter (where state = 'skipped') as skipped, count(*) filter (where state = 'failed') as failed,
        coalesce(sum(items), 0)::integer as items, coalesce(sum(items_added), 0)::integer as items_added,
        coalesce(sum(items_removed), 0)::integer as items_removed
    from knowledge_document where source_id = source.id
) documents
order by source.id desc
