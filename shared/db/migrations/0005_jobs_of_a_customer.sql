-- How a business's jobs stand is counted without looking at everybody's.
create index job_customer_idx on job (customer_id, queue) where closed_at is not null;
