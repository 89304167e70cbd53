-- A ticket says whose job it is, so that customers take turns within a queue. Older workers ignore the member.

create or replace function job_ticket(j job) returns jsonb language sql volatile as $$
    select jsonb_build_object('id', j.id, 'queue', j.queue, 'priority', j.priority, 'customer_id', j.customer_id, 'delay_ms',
        case when j.state = 'delayed'
             then greatest(0, ceil(extract(epoch from j.run_at - clock_timestamp()) * 1000)::bigint) else 0 end)
$$;
