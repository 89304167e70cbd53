-- name: begin_alone(job_id, claim)
select job_begin_alone_v1(:job_id, :claim) as has_begun

-- name: lost_alone(job_id, claim)
select job_lost_alone_v1(:job_id, :claim) as lost_claims
