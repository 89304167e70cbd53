-- What is asked of models for a message that is deleted was paid for all the same.
alter table usage_log alter column message_id drop not null;
alter table usage_log drop constraint usage_log_message_id_fkey;
alter table usage_log add constraint usage_log_message_id_fkey foreign key (message_id) references message on delete set null
    not valid; -- 0091 looks through the table, and keeps nobody waiting
alter table usage_log
    add column chatbot_id bigint,
    add column cost numeric check (cost >= 0),
    add column counted_tokens bigint check (counted_tokens >= 0);
alter table chatbot add constraint chatbot_of_customer unique (customer_id, id);

-- What may be spent on models in a month. Who pays for a call reserves the most that it can cost, under the lock of the budget's row,
-- and settles what it did cost in the statement that ends its job (shared/budgets/meter.py). Models' prices and what was spent are
-- numeric, in the currency of the operator's prices: a token costs far less than a cent.

-- What a million tokens cost, and a minute of speech. All 0: the model is free, no budget blocks it or counts its tokens. No row:
-- nobody said; its tokens count, and no money.
create table model_price (
    base_url   text not null check (url_is_normalized(base_url) and right(base_url, 1) <> '/'),
    model      text not null check (model <> ''),
    prompt     numeric not null check (prompt between 0 and 1000000),
    completion numeric not null check (completion between 0 and 1000000),
    minute     numeric not null default 0 check (minute between 0 and 1000000),
    is_free    boolean not null generated always as (prompt = 0 and completion = 0 and minute = 0) stored,
    primary key (base_url, model),
    check (octet_length(base_url || model) <= 2000) -- both fit into an index
);

create table budget (
    id            bigint generated always as identity primary key,
    customer_id   bigint not null references customer on delete cascade,
    -- Null: what all of the customer's chatbots spend together.
    chatbot_id    bigint,
    -- The limits of a month, either or both.
    tokens        bigint check (tokens between 0 and 1000000000000),
    money         numeric check (money between 0 and 1000000000),
    -- By whose clock a month begins. The check knows the zones that PostgreSQL knows.
    time_zone     text not null default 'UTC' check ((timestamptz '2000-01-01 00:00:00+00' at time zone time_zone) is not null),
    -- What a customer gets when it is used up: a person, a text, or the answer of a cheaper model at the chatbot's first provider.
    at_limit      text not null default 'hand_over' check (at_limit in ('hand_over', 'text', 'cheaper_model')),
    text          text check (text <> ''),
    model         text check (model <> ''),
    -- Set by the operator: the customer's API keys cannot change it.
    by_operator   boolean not null default false,
    -- What was spent in this month, and when its events were sent. Another month begins with the first call in it.
    month         date not null check (extract(day from month) = 1),
    spent_tokens  bigint not null default 0 check (spent_tokens >= 0),
    spent_money   numeric not null default 0 check (spent_money >= 0),
    warned_at     timestamptz,
    exhausted_at  timestamptz,
    updated_at    timestamptz not null default now(),
    check (tokens is not null or money is not null),
    check ((at_limit = 'text') = (text is not null)),
    check ((at_limit = 'cheaper_model') = (model is not null)),
    foreign key (customer_id, chatbot_id) references chatbot (customer_id, id) on delete cascade
);
create unique index budget_scope_idx on budget (customer_id, coalesce(chatbot_id, 0));
create index budget_chatbot_idx on budget (chatbot_id) where chatbot_id is not null;

-- The most that a call can cost which has begun, and whose outcome is not known yet. It goes when the call is settled; one that no
-- claim will settle any more counts as spent (budget_sweep_v1).
create table budget_reservation (
    id                uuid primary key, -- the caller's: asked for twice, it is reserved once
    customer_id       bigint not null references customer on delete cascade,
    -- No foreign keys: it outlives what it names.
    chatbot_id        bigint,
    message_id        bigint,
    -- Which claim of which job settles it. Null: a program that has no job.
    job_id            bigint,
    claim             integer,
    base_url          text not null,
    model             text not null,
    prompt_tokens     integer not null check (prompt_tokens >= 0),
    completion_tokens integer not null check (completion_tokens >= 0),
    seconds           integer not null check (seconds >= 0), -- of speech
    money             numeric not null check (money >= 0),
    created_at        timestamptz not null default now(),
    check ((job_id is null) = (claim is null))
);
create index budget_reservation_customer_idx on budget_reservation (customer_id);

create function call_cost(price model_price, prompt_tokens bigint, completion_tokens bigint, seconds bigint) returns numeric
language sql immutable parallel safe as $$
    select (prompt_tokens * price.prompt + completion_tokens * price.completion) * 0.000001 + round(seconds * price.minute / 60, 9)
$$;

-- What calls cost, by kind, as usage_log has it. Each of `p_calls`: {kind, base_url, model (which was asked for), answered_by, prompt_tokens,
-- completion_tokens, seconds, reservation}; one that cost nothing has no kind. `cost` null: none of them has a price.
create function usage_of_v1(p_calls jsonb)
returns table (kind text, calls integer, prompt_tokens integer, completion_tokens integer, model text, cost numeric, counted_tokens bigint)
language sql stable as $$
    select call.kind, count(*)::integer, least(sum(call.prompt_tokens), 2147483647)::integer,
        least(sum(call.completion_tokens), 2147483647)::integer, (array_agg(call.answered_by order by place desc))[1],
        sum(call_cost(price, call.prompt_tokens, call.completion_tokens, call.seconds)),
        sum(case when price.is_free then 0 else call.prompt_tokens + call.completion_tokens end)::bigint
    from jsonb_array_elements(p_calls) with ordinality as e(item, place), jsonb_to_record(item) as call(kind text, base_url text,
            model text, answered_by text, prompt_tokens bigint, completion_tokens bigint, seconds bigint)
        left join model_price price using (base_url, model)
    where call.kind is not null
    group by call.kind
$$;

create function budget_month(p_time_zone text) returns date language sql stable as $$
    select date_trunc('month', now() at time zone p_time_zone)::date
$$;

-- Locks the budgets of these customers, always in the same order, and begins the month of those whose last one is over.
create function budget_lock(p_customer_ids bigint[]) returns void language plpgsql as $$
begin
    perform from budget where customer_id = any (p_customer_ids) order by id for update;
    update budget set month = budget_month(time_zone), spent_tokens = 0, spent_money = 0, warned_at = null, exhausted_at = null
    where customer_id = any (p_customer_ids) and month < budget_month(time_zone);
end $$;

-- The share of its limits that is spent: 1 is all of it, or of the one of which more is.
create function budget_share(b budget) returns numeric language sql immutable as $$
    select greatest(case when b.tokens = 0 then 1 else b.spent_tokens::numeric / b.tokens end,
                    case when b.money = 0 then 1 else b.spent_money / b.money end)
$$;

-- Counts anew what the budget's month has cost so far: of one that is new, or was changed.
create function budget_recount_v1(p_id bigint) returns void language plpgsql as $$
begin
    perform budget_lock(array(select customer_id from budget where id = p_id)); -- who settles now is seen, or adds to it
    update budget set month = budget_month(counted.time_zone), spent_tokens = spent.tokens, spent_money = spent.money
    from budget counted, lateral (
        select coalesce(sum(coalesce(counted_tokens, usage.prompt_tokens::bigint + usage.completion_tokens)), 0) as tokens,
            coalesce(sum(cost), 0) as money
        from usage_log usage left join message on message.id = usage.message_id and usage.chatbot_id is null
        where usage.customer_id = counted.customer_id
          and usage.created_at >= budget_month(counted.time_zone)::timestamp at time zone counted.time_zone
          and (counted.chatbot_id is null or coalesce(usage.chatbot_id, message.chatbot_id) = counted.chatbot_id)) spent
    where counted.id = p_id and budget.id = counted.id;
    update budget set warned_at = case when budget_share(budget) >= 0.8 then warned_at end,
        exhausted_at = case when budget_share(budget) >= 1 then exhausted_at end
    where id = p_id;
end $$;

-- Reserves the most that each call can cost, in each budget that pays for it; refused where nothing is left of one. Each of `p_input`:
-- {n, id, customer_id, chatbot_id, message_id, job_id, claim, base_url, model, prompt_tokens, completion_tokens, seconds, beyond}.
-- A call is let through while anything is left, so a month ends at most one reservation above its limit. `beyond`: the budget whose
-- cheaper model is asked; that may spend as much again. `refused`: {budget, at_limit, text, model, is_spent (or only reserved)}.
create function budget_reserve_v1(p_input jsonb) returns table (n integer, is_reserved boolean, refused jsonb)
language plpgsql rows 1 as $$
#variable_conflict use_column
declare
    v_call    record;
    v_refused jsonb;
begin
    perform budget_lock(array(select (item ->> 'customer_id')::bigint from jsonb_array_elements(p_input) item));
    for v_call in
        select i.*, price.is_free, coalesce(call_cost(price, i.prompt_tokens, i.completion_tokens, i.seconds), 0) as cost
        from jsonb_to_recordset(p_input) as i(n integer, id uuid, customer_id bigint, chatbot_id bigint, message_id bigint, job_id bigint,
                claim integer, base_url text, model text, prompt_tokens integer, completion_tokens integer, seconds integer, beyond bigint)
            left join model_price price using (base_url, model) order by i.n
    loop
        select jsonb_build_object('budget', budget.id, 'at_limit', budget.at_limit, 'text', budget.text, 'model', budget.model,
            'is_spent', coalesce(spent_tokens >= limits.tokens, false)
                or v_call.cost > 0 and coalesce(spent_money >= limits.money, false)) into v_refused
        from budget, lateral (
            select coalesce(sum(r.prompt_tokens::bigint + r.completion_tokens), 0) as tokens, coalesce(sum(r.money), 0) as money
            from budget_reservation r
            where r.customer_id = budget.customer_id and (budget.chatbot_id is null or r.chatbot_id = budget.chatbot_id)
                and r.id <> v_call.id) reserved, lateral (
            select budget.tokens * times as tokens, budget.money * times as money
            from (select case when budget.id = v_call.beyond then 2 else 1 end as times) twice) limits
        where budget.customer_id = v_call.customer_id and (budget.chatbot_id is null or budget.chatbot_id = v_call.chatbot_id)
            and (spent_tokens + reserved.tokens >= limits.tokens
                or v_call.cost > 0 and spent_money + reserved.money >= limits.money)
        order by budget.chatbot_id nulls last limit 1;
        n := v_call.n;
        refused := case when v_call.is_free then null else v_refused end;
        is_reserved := refused is null and not coalesce(v_call.is_free, false);
        if is_reserved then
            insert into budget_reservation (id, customer_id, chatbot_id, message_id, job_id, claim, base_url, model, prompt_tokens,
                completion_tokens, seconds, money)
            values (v_call.id, v_call.customer_id, v_call.chatbot_id, v_call.message_id, v_call.job_id, v_call.claim, v_call.base_url,
                v_call.model, v_call.prompt_tokens, v_call.completion_tokens, v_call.seconds, v_call.cost)
            on conflict (id) do nothing;
        end if;
        return next;
    end loop;
end $$;

-- Ends the reservations of calls, and counts what they cost. Each of `p_bookings`: {customer_id, chatbot_id, calls, refused_by}; calls
-- are those of usage_of_v1, and `refused_by` is the budget for which a customer got no answer. Returns the tickets of the events: once a
-- month a warning at 80 %, and the end. Call it last: who waits for a budget's row holds what nobody with that row waits for.
create function budget_settle_v1(p_bookings jsonb) returns jsonb language plpgsql as $$
declare
    v_customers bigint[] := array(select distinct (item ->> 'customer_id')::bigint from jsonb_array_elements(p_bookings) item);
    v_events    jsonb;
begin
    perform budget_lock(v_customers);
    delete from budget_reservation where id = any (array(
        select (call ->> 'reservation')::uuid from jsonb_array_elements(p_bookings) item, jsonb_array_elements(item -> 'calls') call));
    with spent as materialized (
        select booking.customer_id, booking.chatbot_id, sum(usage.counted_tokens) as tokens, sum(usage.cost) as money
        from jsonb_to_recordset(p_bookings) as booking(customer_id bigint, chatbot_id bigint, calls jsonb),
            lateral usage_of_v1(booking.calls) usage
        group by 1, 2
    )
    update budget set spent_tokens = spent_tokens + total.tokens, spent_money = spent_money + total.money
    from (select counted.id, coalesce(sum(spent.tokens), 0) as tokens, coalesce(sum(spent.money), 0) as money
          from budget counted join spent on spent.customer_id = counted.customer_id
              and (counted.chatbot_id is null or spent.chatbot_id = counted.chatbot_id)
          group by counted.id) total
    where budget.customer_id = any (v_customers) and budget.id = total.id;
    with reached as materialized (
        select budget.id, case when exhausted_at is null and (budget_share(budget) >= 1 or budget.id = any (array(
                select (item ->> 'refused_by')::bigint from jsonb_array_elements(p_bookings) item))) then 'budget.exhausted' end as at_end,
            case when warned_at is null and budget_share(budget) >= 0.8 then 'budget.warning' end as near_end
        from budget where customer_id = any (v_customers)
    ), marked_budgets as (
        update budget set exhausted_at = case when at_end is not null then now() else exhausted_at end,
            warned_at = case when near_end is not null then now() else warned_at end
        from reached where budget.id = reached.id and (at_end is not null or near_end is not null)
        returning budget.*, at_end, near_end
    )
    select jsonb_agg(customer_event_v1(event, customer_id, jsonb_build_object(
        'budget_id', id, 'chatbot_id', chatbot_id, 'month', to_char(month, 'YYYY-MM'), 'tokens', tokens, 'spent_tokens', spent_tokens,
        'money', money, 'spent_money', trim_scale(spent_money), 'at_limit', at_limit)) order by event desc) into v_events
    from marked_budgets, unnest(array[near_end, at_end]) event where event is not null;
    return case when v_events is null then '[]'::jsonb else webhook_emit(v_events) end;
end $$;

-- Books calls whose job goes on, or that have none: as budget_settle_v1, with the message that the usage is about in `message_id`.
create function usage_book_v1(p_bookings jsonb) returns jsonb language plpgsql as $$
begin
    insert into usage_log (customer_id, chatbot_id, kind, message_id, quantity, prompt_tokens, completion_tokens, model, cost, counted_tokens)
    select booking.customer_id, booking.chatbot_id, usage.kind, message.id, usage.calls, usage.prompt_tokens, usage.completion_tokens,
        usage.model, usage.cost, usage.counted_tokens
    from ( -- a message that two calls are about has one row
            select customer_id, chatbot_id, message_id, jsonb_agg(call) as calls
            from jsonb_to_recordset(p_bookings) as b(customer_id bigint, chatbot_id bigint, message_id bigint, calls jsonb),
                jsonb_array_elements(calls) call
            group by 1, 2, 3) booking
        left join message on message.id = booking.message_id, lateral usage_of_v1(booking.calls) usage
    on conflict (message_id, kind) do update set quantity = usage_log.quantity + excluded.quantity, model = excluded.model,
        prompt_tokens = least(usage_log.prompt_tokens::bigint + excluded.prompt_tokens, 2147483647),
        completion_tokens = least(usage_log.completion_tokens::bigint + excluded.completion_tokens, 2147483647),
        counted_tokens = usage_log.counted_tokens + excluded.counted_tokens,
        cost = case when excluded.cost is null then usage_log.cost else coalesce(usage_log.cost, 0) + excluded.cost end;
    return budget_settle_v1(p_bookings);
end $$;

-- Reservations that no claim will settle any more: the worker died, or no answer came in time. Whether the provider charges for the call
-- is not known, so all of it counts as spent, as usage of the kind "unknown": then no month costs more than its budget says. One
-- without a job is given `p_seconds`. Returns {reservations, tickets}.
create function budget_sweep_v1(p_seconds float8) returns jsonb language plpgsql as $$
declare
    v_bookings jsonb;
begin
    select jsonb_agg(jsonb_build_object('customer_id', customer_id, 'chatbot_id', chatbot_id, 'message_id', message_id,
        'calls', jsonb_build_array(jsonb_build_object('kind', 'unknown', 'base_url', base_url, 'model', model, 'answered_by', model,
            'prompt_tokens', prompt_tokens, 'completion_tokens', completion_tokens, 'seconds', seconds, 'reservation', id)))) into v_bookings
    from (select * from budget_reservation lost
          where case when job_id is null then created_at < now() - make_interval(secs => p_seconds)
                else not exists (select from job where job.id = lost.job_id and state = 'active' and claims = lost.claim) end
          order by created_at limit 500 for update skip locked) lost;
    return case when v_bookings is null then jsonb_build_object('reservations', 0, 'tickets', '[]'::jsonb)
        else jsonb_build_object('reservations', jsonb_array_length(v_bookings), 'tickets', usage_book_v1(v_bookings)) end;
end $$;
