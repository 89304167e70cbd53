-- Operators and owners may pause what is worked on.
create table pause (
    id          bigint generated always as identity primary key,
    queue       text check (queue <> ''),
    chatbot_id  bigint references chatbot on delete cascade,
    customer_id bigint references customer on delete cascade,
    reason      text,
    created_by  text not null check (created_by <> ''),
    created_at  timestamptz not null default now(),
    check (num_nonnulls(queue, chatbot_id, customer_id) > 0)
);
create unique index pause_subject_idx on pause (coalesce(queue, ''), coalesce(chatbot_id, 0), coalesce(customer_id, 0));

create function pause_lift_v1(p_id bigint, p_pace float8) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    delete from pause where id = p_id;
    if not found then
        return null;
    end if;
    with parked_jobs as (
        select id, queue, ordering_key from job
        where waits_for = 'pause ' || p_id and closed_at is null and state = 'delayed' order by id for update
    ), numbered_jobs as (
        select id, row_number() over (order by id) - 1 as place from parked_jobs
    ), released_jobs as (
        update job j set waits_for = null, run_at = clock_timestamp() + make_interval(secs => place / p_pace),
            created_at = clock_timestamp(), started_at = case when attempts > 0 then started_at end
        from numbered_jobs where j.id = numbered_jobs.id returning job_ticket(j) as ticket
    ), jobs_in_line as (
        update job behind set created_at = clock_timestamp() from parked_jobs
        where behind.queue = parked_jobs.queue and behind.ordering_key = parked_jobs.ordering_key and behind.closed_at is null
            and behind.held
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from released_jobs;
    return v_tickets;
end $$;
