-- name: claim
-- The job and its knowledge base. `has_vectors`: whether the database has what vectors.sql makes.
select claimed_jobs.*, (select to_jsonb(base) from (
    select id, embedding_model, to_regclass('knowledge_embedding') is not null as has_vectors, customer_id,
        exists (select from budget where budget.customer_id = knowledge_base.customer_id) as has_budget
    from knowledge_base where id = (claimed_jobs.payload ->> 'knowledge_base_id')::bigint
) base) as loaded
from job_claim_v3('knowledge-embedding', $1) as claimed_jobs

-- name: due_texts(knowledge_base_id, model, most)
select item_id, part, text, text_hash::text
from knowledge_embedding_due_v1(:knowledge_base_id, :model, :most)

-- name: save_vectors
-- Vectors, and the end of the job; while the base lacks more of them, the next job.
with input as materialized (
    select * from jsonb_to_recordset($1)
        as i(n integer, job_id bigint, claim integer, knowledge_base_id bigint, customer_id bigint, model text, vectors jsonb,
            calls jsonb)
), saved as materialized (
    select *, knowledge_embedding_save_v1(knowledge_base_id, model, vectors) as lacks_more
    from (select * from input order by knowledge_base_id) in_order -- in which their rows are locked
)
select jsonb_agg(n) as done, job_complete_v2('knowledge-embedding', jsonb_object_agg(job_id, claim),
    coalesce(jsonb_agg(jsonb_build_object('queue', 'knowledge-embedding', 'ordering_key', 'base:' || knowledge_base_id,
        'customer_id', customer_id, 'payload', jsonb_build_object('knowledge_base_id', knowledge_base_id)))
        filter (where lacks_more), '[]'))
    -- Last, for budgets are locked.
    || usage_book_v1(jsonb_agg(jsonb_build_object('customer_id', customer_id, 'calls', calls))) as tickets
from saved

-- name: attempt_failed(job_id, claim, error, traceback, retry_delays, outcome_unknown, customer_error)
-- The base's owner sees the error with the provider's words; the job does not keep the words.
with failed_attempt as (
    select attempt, retry_in
    from job_fail_attempt_v1(:job_id, :claim, :error, :traceback, :retry_delays::float8[], :outcome_unknown)
), failed_base as (
    update knowledge_base set embedding_error = :customer_error
    from failed_attempt, job where job.id = :job_id and knowledge_base.id = (job.payload ->> 'knowledge_base_id')::bigint
)
select attempt, retry_in from failed_attempt

-- name: dead_letter(job_id)
with dead_job as materialized (
    select payload, last_error from job where id = :job_id and state = 'failed' and closed_at is null
    for update of job -- an operator may requeue it at this moment
), failed_base as (
    update knowledge_base set embedding_error = coalesce(embedding_error, last_error)
    from dead_job where knowledge_base.id = (dead_job.payload ->> 'knowledge_base_id')::bigint
)
select job_close_failed_v1(:job_id) as tickets
from (select count(*) from dead_job) locked -- before it is closed
