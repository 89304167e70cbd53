-- name: delete(document_id)
delete from knowledge_upload where document_id = :document_id

-- name: is_kept(source_id, hash)
select exists (
    select from knowledge_upload join knowledge_document document on document.id = document_id
    where source_id = :source_id and encode(sha256(body), 'hex') = :hash) as is_same

-- name: piece(document_id, start, size)
-- Some bytes of a file, and by which transaction it was written: the next piece is of another file, if that is another one.
select substring(body from :start for :size) as bytes, xmin::text as written from knowledge_upload where document_id = :document_id
