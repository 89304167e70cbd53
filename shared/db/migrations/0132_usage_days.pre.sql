-- What was used, by day: pages that show months count no millions of rows.
create table usage_day (
    customer_id       bigint not null references customer on delete cascade,
    day               date not null,
    kind              text not null,
    chatbot_id        bigint not null, -- 0: usage_log has none
    model             text not null, -- empty: usage_log has none
    entries           bigint not null,
    quantity          bigint not null,
    prompt_tokens     bigint not null,
    completion_tokens bigint not null,
    cost              numeric not null,
    priced            bigint not null, -- entries that have a price: where none has, nothing is known of the cost
    primary key (customer_id, day, kind, chatbot_id, model)
);

-- How far each customer's days are counted: up to the day before this one.
create table usage_counted (
    customer_id bigint primary key references customer on delete cascade,
    until       date not null
);

-- Counts a customer's next days, at most `p_days`, of those that ended two hours ago or more: whoever wrote then has committed. Returns
-- how many days were counted.
create function usage_count_days_v1(p_customer_id bigint, p_days integer) returns integer language plpgsql as $$
declare
    v_from  date;
    v_until date := (now() at time zone 'utc' - interval '2 hours')::date;
begin
    perform pg_advisory_xact_lock(hashtextextended('usage_day', p_customer_id));
    select until into v_from from usage_counted where customer_id = p_customer_id;
    v_from := coalesce(v_from, (select (min(created_at) at time zone 'utc')::date from usage_log where customer_id = p_customer_id), v_until);
    v_until := least(v_until, v_from + p_days);
    insert into usage_day (customer_id, day, kind, chatbot_id, model, entries, quantity, prompt_tokens, completion_tokens, cost, priced)
    select p_customer_id, (created_at at time zone 'utc')::date, kind, coalesce(chatbot_id, 0), coalesce(model, ''), count(*),
        sum(quantity), sum(prompt_tokens), sum(completion_tokens), coalesce(sum(cost), 0), count(cost)
    from usage_log
    where customer_id = p_customer_id and created_at >= v_from::timestamp at time zone 'utc'
        and created_at < v_until::timestamp at time zone 'utc'
    group by 2, 3, 4, 5;
    insert into usage_counted (customer_id, until) values (p_customer_id, v_until)
    on conflict (customer_id) do update set until = greatest(usage_counted.until, excluded.until);
    return greatest(v_until - v_from, 0);
end $$;

-- A call that is booked to an earlier message changes its row, of a day that may be counted. Whoever changes a row of less than an hour
-- has committed before its day is counted.
create function usage_changed() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('usage_day', old.customer_id));
    insert into usage_day as counted (customer_id, day, kind, chatbot_id, model, entries, quantity, prompt_tokens, completion_tokens, cost,
        priced)
    select old.customer_id, (old.created_at at time zone 'utc')::date, old.kind, changed.chatbot_id, changed.model, sum(entries),
        sum(changed.quantity), sum(changed.prompt_tokens), sum(changed.completion_tokens), coalesce(sum(changed.cost), 0),
        sum(case when changed.cost is not null then entries else 0 end)
    from (values
        (coalesce(old.chatbot_id, 0), coalesce(old.model, ''), -1, -old.quantity, -old.prompt_tokens, -old.completion_tokens, -old.cost),
        (coalesce(new.chatbot_id, 0), coalesce(new.model, ''), 1, new.quantity, new.prompt_tokens, new.completion_tokens, new.cost)
    ) as changed (chatbot_id, model, entries, quantity, prompt_tokens, completion_tokens, cost)
    where exists (select from usage_counted
        where customer_id = old.customer_id and until > (old.created_at at time zone 'utc')::date)
    group by changed.chatbot_id, changed.model
    on conflict (customer_id, day, kind, chatbot_id, model) do update set entries = counted.entries + excluded.entries,
        quantity = counted.quantity + excluded.quantity, prompt_tokens = counted.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = counted.completion_tokens + excluded.completion_tokens,
        cost = counted.cost + excluded.cost, priced = counted.priced + excluded.priced;
    return null;
end $$;
create trigger usage_changed after update of quantity, prompt_tokens, completion_tokens, model, cost on usage_log
    for each row when (old.created_at < now() - interval '1 hour') execute function usage_changed();
