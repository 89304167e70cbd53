-- name: is_copy(source_id, document_id, url)
-- Whether another document of the source is this page already.
select exists (
    select from knowledge_document where source_id = :source_id and id <> :document_id and url = :url and state = 'stored'
) as is_copy

-- name: is_wanted(document_id, job_id)
-- Whether anybody waits for what a job reads: its document was neither stopped nor deleted, and no next version of its file has come.
select exists (select from knowledge_document
    where id = :document_id and state in ('waiting', 'failed') and :job_id > coalesce(superseded_job, 0)) as is_wanted

-- name: room(document_id, most)
-- How many items a document may have, where its business may have so many from imports; what it has it may keep.
select greatest(document.items, :most - (
    select coalesce(sum(other.items), 0) from knowledge_base own
    join knowledge_source owned on owned.knowledge_base_id = own.id
    join knowledge_document other on other.source_id = owned.id
    where own.customer_id = base.customer_id and other.id <> document.id)) as items
from knowledge_document document join knowledge_source source on source.id = document.source_id
join knowledge_base base on base.id = source.knowledge_base_id
where document.id = :document_id

-- name: claim
-- The job, its source and base, and its document; nothing is loaded once the source or the document is deleted.
select claimed_jobs.*, (select to_jsonb(import) from (
    select source.id as source_id, source.kind, source.location as source_location, source.state as source_state, source.robots,
        source.language, base.id as base_id, base.language as base_language, document.id as document_id, document.location,
        document.state, document.etag, document.last_modified, document.content_hash,
        (select octet_length(upload.body) from knowledge_upload upload where upload.document_id = document.id) as size
    from knowledge_source source
    join knowledge_base base on base.id = source.knowledge_base_id
    left join knowledge_document document
        on document.id = (claimed_jobs.payload ->> 'document_id')::bigint and document.source_id = source.id
    where source.id = (claimed_jobs.payload ->> 'source_id')::bigint
        and (document.id is not null or claimed_jobs.payload ->> 'document_id' is null)
) import) as loaded
from job_claim_v3('knowledge-import', $1) as claimed_jobs

-- name: store
-- Replaces the items of a document by what was read. An item that is the same stays, and keeps its id; one with another text, or
-- below another heading, is a new one, switched as it was. The base is locked before the document, as by those who delete it. Of a document
-- that was stopped or deleted meanwhile nothing is kept, nor of a file whose next version has come. The advisory lock keeps nobody
-- waiting: it tells who stops or deletes which statement to end (shared/teaching/storing.sql).
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, base_id bigint, document_id bigint,
        change text, error text, url text, etag text, last_modified text, content_hash text, items jsonb)
), announced_documents as materialized (
    select pg_advisory_xact_lock_shared(hashtextextended('storing ' || source_id, 3))
    from knowledge_document where id in (select document_id from input)
), locked_bases as materialized (
    select id from knowledge_base where id in (select base_id from input) and (select count(*) from announced_documents) > 0
    order by id for key share
), documents as materialized (
    select document.id, document.source_id from knowledge_document document
    join input on input.document_id = document.id join locked_bases on locked_bases.id = input.base_id
    where document.state in ('waiting', 'failed') and input.job_id > coalesce(superseded_job, 0)
    order by document.id for update of document
), new_items as materialized (
    select distinct on (input.document_id, item.title, item.content)
        input.document_id, input.base_id, item.title, item.content, item.language, item.url, place
    from input
    join documents on documents.id = input.document_id
    cross join jsonb_array_elements(input.items) with ordinality as element(value, place)
    cross join jsonb_to_record(element.value) as item(title text, content text, language text, url text)
    order by input.document_id, item.title, item.content, place
), paired_items as materialized ( -- grouped, for a join would compare each item of a large document with each
    select document_id, title, content, array_agg(id) filter (where id is not null) as known_ids, bool_or(id is null) as is_read,
        min(base_id) as base_id, min(language) as language, min(url) as url, min(place) as place
    from (
        select document_id, title, content, null::bigint as id, base_id, language, url, place from new_items
        union all
        select document_id, title, content, item.id, null, null, null, null
        from knowledge_item item join documents on documents.id = item.document_id
    ) items group by document_id, title, content
), next_items as materialized ( -- switched as those were that had their title, or their text below another heading
    select next_items.*, bool_or(is_active) over titles as is_titled_active, bool_or(show_link) over titles as is_titled_shown,
        bool_or(is_active) over texts as is_text_active, bool_or(show_link) over texts as is_text_shown
    from (
        select base_id, document_id, language, title, content, url, place, null::boolean as is_active, null::boolean as show_link
        from paired_items where known_ids is null
        union all
        select null, item.document_id, null, item.title, item.content, null, null, item.is_active, item.show_link
        from (select unnest(known_ids) as id from paired_items where not is_read) outdated
        join knowledge_item item on item.id = outdated.id
    ) next_items
    window titles as (partition by document_id, title),
        texts as (partition by document_id, md5(content), regexp_replace(title, '^.* › ', ''))
), removed_items as (
    delete from knowledge_item where id in (select unnest(known_ids) from paired_items where not is_read)
    returning document_id
), kept_items as (
    update knowledge_item item set url = kept.url, language = kept.language
    from (select unnest(known_ids) as id, url, language from paired_items where is_read) kept
    where item.id = kept.id and (item.url, item.language) is distinct from (kept.url, kept.language)
), added_items as (
    insert into knowledge_item (knowledge_base_id, document_id, language, title, content, url, is_active, show_link)
    select base_id, document_id, language, title, content, url, coalesce(is_titled_active, is_text_active, true),
        coalesce(is_titled_shown, is_text_shown, true)
    from next_items where place is not null order by document_id, place
    returning document_id
), deleted_uploads as (
    delete from knowledge_upload using documents where document_id = documents.id
), stored_documents as (
    update knowledge_document document set state = 'stored', change = input.change, error = input.error, url = input.url,
        etag = input.etag, last_modified = input.last_modified, content_hash = input.content_hash, updated_at = clock_timestamp(),
        items = (select count(*) from new_items where new_items.document_id = document.id),
        items_added = (select count(*) from added_items where added_items.document_id = document.id),
        items_removed = (select count(*) from removed_items where removed_items.document_id = document.id)
    from input join documents on documents.id = input.document_id where document.id = input.document_id
)
select jsonb_agg(n) as done, job_complete_v2('knowledge-import', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: keep
-- The document is as it was: nothing of its items is touched.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, document_id bigint, etag text,
        last_modified text)
), kept_documents as (
    update knowledge_document document set state = 'stored', change = 'unchanged', error = null, items_added = 0, items_removed = 0,
        etag = input.etag, last_modified = input.last_modified, updated_at = clock_timestamp()
    from input where document.id = input.document_id and document.state in ('waiting', 'failed')
)
select jsonb_agg(n) as done, job_complete_v2('knowledge-import', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: skip
-- The document is not to be read (noindex, robots.txt, a copy): it has no items.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, document_id bigint, error text)
), skipped_documents as (
    update knowledge_document document set state = 'skipped', change = null, error = input.error, etag = null,
        last_modified = null, content_hash = null, items_added = 0, items_removed = items, items = 0, updated_at = clock_timestamp()
    from input where document.id = input.document_id and document.state in ('waiting', 'failed')
    returning document.id
), removed_items as (
    delete from knowledge_item using skipped_documents where document_id = skipped_documents.id
)
select jsonb_agg(n) as done, job_complete_v2('knowledge-import', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: remove
-- A page that was stored once, and is gone: so are its items. The source is locked before the document, as by its owner's verbs.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, document_id bigint)
), locked_sources as materialized (
    select id from knowledge_source where id in (
        select source_id from knowledge_document where id in (select document_id from input))
    order by id for no key update
), removed_documents as (
    delete from knowledge_document using input, locked_sources
    where knowledge_document.id = document_id and source_id = locked_sources.id returning source_id
), counted_sources as (
    update knowledge_source source set removed = removed + removals.count
    from (select source_id, count(*) from removed_documents group by source_id) removals where source.id = removals.source_id
)
select jsonb_agg(n) as done, job_complete_v2('knowledge-import', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: list_documents
-- Adds a job for each document that a source has now, and removes those that it has no longer, with their items. Each of
-- `documents`: a location. All jobs of a site have one ordering key, so its pages are asked for one after the other.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, source_id bigint, robots text,
        ordering_key text, documents jsonb, is_complete boolean, error text)
), sources as materialized (
    select source.id, base.customer_id, input.robots, input.ordering_key, input.documents, input.is_complete, input.error
    from input join knowledge_source source on source.id = input.source_id and source.state = 'listing'
    join knowledge_base base on base.id = source.knowledge_base_id
    order by source.id for update of source
), current_documents as (
    insert into knowledge_document as document (source_id, location)
    select sources.id, element.location
    from sources cross join jsonb_array_elements_text(sources.documents) with ordinality as element(location, place)
    order by sources.id, place
    on conflict (source_id, location) do update set state = 'waiting', change = null, error = null,
        items_added = 0, items_removed = 0
    returning document.id, document.source_id
), removed_documents as (
    delete from knowledge_document document using sources
    where document.source_id = sources.id and sources.is_complete and not sources.documents ? document.location
    returning document.source_id
), listed_sources as (
    update knowledge_source source set state = 'listed', error = sources.error, robots = sources.robots,
        removed = (select count(*) from removed_documents where removed_documents.source_id = source.id)
    from sources where source.id = sources.id
), new_jobs as materialized (
    select coalesce(jsonb_agg(jsonb_build_object('queue', 'knowledge-import', 'customer_id', sources.customer_id,
        'ordering_key', sources.ordering_key,
        'payload', jsonb_build_object('source_id', sources.id, 'document_id', current_documents.id))
        order by current_documents.id), '[]') as jobs
    from current_documents join sources on sources.id = current_documents.source_id
)
select jsonb_agg(n) as done,
    job_complete_v2('knowledge-import', jsonb_object_agg(job_id, claim), (select jobs from new_jobs)) as tickets
from input

-- name: attempt_failed(job_id, claim, error, traceback, retry_delays, outcome_unknown, details)
-- The reason, in the owner's words, is kept on the document, or on the source whose documents could not be found.
with failed_attempt as materialized (
    select *, coalesce(:details::jsonb ->> 'reason', 'something went wrong here; try again, and tell us if it happens again')
        as reason
    from job_fail_attempt_v1(:job_id, :claim, :error, :traceback, :retry_delays::float8[], :outcome_unknown)
), failed_job as (
    select (payload ->> 'source_id')::bigint as source_id, (payload ->> 'document_id')::bigint as document_id, reason
    from job, failed_attempt where id = :job_id
), failed_document as (
    update knowledge_document document set error = reason
    from failed_job where document.id = failed_job.document_id and state in ('waiting', 'failed')
        and :job_id > coalesce(superseded_job, 0) -- the next version of a file has not failed
    returning document.id
), failed_source as (
    update knowledge_source source set error = reason
    from failed_job where failed_job.document_id is null and source.id = failed_job.source_id and state = 'listing'
), deleted_upload as ( -- of a file that cannot be read, however often it is tried
    delete from knowledge_upload using failed_document
    where document_id = failed_document.id and (:details::jsonb ->> 'is_final')::boolean
)
select attempt, retry_in from failed_attempt

-- name: dead_letter(job_id)
with dead_job as materialized (
    select (payload ->> 'source_id')::bigint as source_id, (payload ->> 'document_id')::bigint as document_id, last_error
    from job where id = :job_id and state = 'failed' and closed_at is null
    for update of job -- an operator may requeue it at this moment
), failed_document as (
    update knowledge_document document set state = 'failed', change = null, error = coalesce(error, last_error),
        updated_at = clock_timestamp()
    from dead_job where document.id = dead_job.document_id and state = 'waiting'
        and :job_id > coalesce(superseded_job, 0)
), failed_source as (
    update knowledge_source source set state = 'failed', error = coalesce(error, last_error)
    from dead_job where dead_job.document_id is null and source.id = dead_job.source_id and state = 'listing'
)
select job_close_failed_v1(:job_id) as tickets
from (select count(*) from dead_job) locked -- before it is closed
