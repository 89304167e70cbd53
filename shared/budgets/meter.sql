-- name: reserve_call
select n, is_reserved, refused from budget_reserve_v1($1)

-- name: book(bookings)
select usage_book_v2(:bookings) as tickets

-- name: book_unless_completed(bookings, job_id, claim)
-- Where the job's end was to book them, and failed. If this claim has completed the job after all, and only nobody heard of it, they are.
select usage_book_v2(:bookings) as tickets from job where id = :job_id and (claims <> :claim or state <> 'completed')

-- name: sweep(seconds)
select budget_sweep_v1(:seconds) as swept
