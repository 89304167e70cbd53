-- Switchboard: the whole truth about what PostgreSQL remembers (PostgreSQL 14 or newer).
--
-- This file is what a database looks like today; shared/db/migrations/ is how an old one gets here, and a test
-- proves that both ways end in the same place. Money is integer cents, every time is a timestamptz, and what
-- must never happen is forbidden here, not only in Python.

-- ---------------------------------------------------------------------------------------------------- tenants

create table customer (
    id               bigint generated always as identity primary key,
    name             text not null check (name <> ''),
    plan_price_cents integer not null default 0 check (plan_price_cents >= 0),
    -- The lane of this customer's AI jobs: $100 and up 1, $50 and up 3, below 5 (shared/queues.py).
    priority         smallint not null generated always as (
        case when plan_price_cents >= 10000 then 1 when plan_price_cents >= 5000 then 3 else 5 end) stored,
    created_at       timestamptz not null default now()
);

-- Text search needs its language at index time, and only constants are immutable: hence the list.
create function knowledge_vector(language text, title text, content text) returns tsvector
language sql immutable parallel safe as $$
    select case language
        when 'english'    then to_tsvector('english', title || ' ' || content)
        when 'german'     then to_tsvector('german', title || ' ' || content)
        when 'spanish'    then to_tsvector('spanish', title || ' ' || content)
        when 'portuguese' then to_tsvector('portuguese', title || ' ' || content)
        when 'french'     then to_tsvector('french', title || ' ' || content)
        when 'italian'    then to_tsvector('italian', title || ' ' || content)
        when 'dutch'      then to_tsvector('dutch', title || ' ' || content)
        else to_tsvector('simple', title || ' ' || content)
    end
$$;

create table knowledge_base (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    name        text not null check (name <> ''),
    language    text not null default 'english' check (language in (
        'simple', 'english', 'german', 'spanish', 'portuguese', 'french', 'italian', 'dutch')),
    unique (customer_id, id),
    unique (id, language)
);

create table knowledge_item (
    id                bigint generated always as identity primary key,
    knowledge_base_id bigint not null,
    language          text not null,
    title             text not null check (title <> ''),
    content           text not null check (content <> ''),
    vector            tsvector not null generated always as (knowledge_vector(language, title, content)) stored,
    -- An item speaks its base's language, also after the base changed it.
    foreign key (knowledge_base_id, language) references knowledge_base (id, language)
        on update cascade on delete cascade
);
create index knowledge_item_base_idx on knowledge_item (knowledge_base_id);
create index knowledge_item_vector_idx on knowledge_item using gin (vector);

create table chatbot (
    id                 bigint generated always as identity primary key,
    customer_id        bigint not null references customer on delete cascade,
    name               text not null check (name <> ''),
    knowledge_base_id  bigint,
    system_prompt      text not null default 'You are a friendly and concise support assistant.',
    fallback_message   text not null default
        'Sorry, I cannot answer right now. A colleague will get back to you.' check (fallback_message <> ''),
    model              text not null default 'gpt-4o-mini' check (model <> ''),
    temperature        real not null default 0.3 check (temperature between 0 and 2),
    max_tokens         integer not null default 500 check (max_tokens between 1 and 32000),
    -- A provider of its own; both null: OPENAI_BASE_URL and OPENAI_API_KEY of the environment.
    provider_base_url  text check (provider_base_url ~ '^https?://'),
    provider_api_key   text, -- encrypted (shared/db/credentials.py)
    -- Messages of one conversation that arrive within this many seconds are answered by one reply. 0: each its own.
    debounce_seconds   real not null default 0 check (debounce_seconds between 0 and 300),
    created_at         timestamptz not null default now(),
    -- A chatbot never reads another tenant's knowledge.
    foreign key (customer_id, knowledge_base_id) references knowledge_base (customer_id, id)
);
create index chatbot_customer_idx on chatbot (customer_id);

create table whatsapp_cloud_account (
    id              bigint generated always as identity primary key,
    chatbot_id      bigint not null unique references chatbot on delete cascade,
    phone_number_id text not null unique check (phone_number_id ~ '^[0-9]+$'),
    access_token    text not null, -- encrypted
    active          boolean not null default true
);

create table whatsapp_qr_session (
    id           bigint generated always as identity primary key,
    chatbot_id   bigint not null unique references chatbot on delete cascade,
    session_name text not null unique check (session_name ~ '^[A-Za-z0-9_.-]+$'),
    dialect      text not null default 'waha' check (dialect in ('waha', 'evolution')),
    api_key      text, -- encrypted; null: WHATSAPP_QR_API_KEY of the environment
    active       boolean not null default true
);

-- ----------------------------------------------------------------------------------------------- conversations

create table conversation (
    id               bigint generated always as identity primary key,
    chatbot_id       bigint not null references chatbot on delete cascade,
    channel          text not null check (channel in ('widget', 'whatsapp_cloud', 'whatsapp_qr')),
    external_user_id text not null check (external_user_id <> ''),
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (chatbot_id, channel, external_user_id),
    unique (id, chatbot_id, channel)
) with (fillfactor = 80);

-- PENDING -> SENT -> DELIVERED -> READ, or FAILED. A status only moves to a higher rank: a late `sent` never
-- undoes READ, FAILED never overwrites DELIVERED; a phone may report a delivery after another one failed.
create function status_rank(status text) returns integer language sql immutable parallel safe as $$
    select case status when 'PENDING' then 0 when 'SENT' then 1 when 'FAILED' then 2
                       when 'DELIVERED' then 3 when 'READ' then 4 end
$$;

create table message (
    -- By default, not always: an inbound message gets its id when it is accepted, before this row is written.
    id              bigint generated by default as identity primary key,
    conversation_id bigint not null,
    -- Copied from the conversation, so that a unique index can say what "the same inbound message" is.
    chatbot_id      bigint not null,
    channel         text not null,
    role            text not null check (role in ('user', 'assistant')),
    content         text not null check (content <> ''),
    -- A user's message has reached us, so it is DELIVERED; the others tell how far our reply got.
    status          text not null check (status in ('PENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED')),
    -- The channel's id: of an inbound message its own, of a reply what the provider answered (wamid, gateway id).
    external_id     text check (external_id <> ''),
    reply_to        bigint references message on delete cascade,
    attempts        integer not null default 0 check (attempts >= 0),
    error           text,
    metadata        jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    foreign key (conversation_id, chatbot_id, channel) references conversation (id, chatbot_id, channel)
        on delete cascade,
    check (role = 'assistant' or (reply_to is null and status = 'DELIVERED')),
    check (status <> 'FAILED' or error is not null)
) with (fillfactor = 80);
create index message_conversation_idx on message (conversation_id, id desc);
create unique index message_one_reply_idx on message (reply_to) where reply_to is not null;
create unique index message_inbound_idx on message (chatbot_id, channel, external_id) where role = 'user';
create index message_provider_idx on message (external_id) where role = 'assistant' and external_id is not null;

-- A status that came before we knew the provider's id of the message; applied when the send's answer is kept,
-- dropped after a while (shared/channels/delivery_status.py).
create table parked_status (
    id          bigint generated always as identity primary key,
    provider_id text not null check (provider_id <> ''),
    status      text not null check (status in ('SENT', 'DELIVERED', 'READ', 'FAILED')),
    error       text,
    received_at timestamptz not null default now()
);
create index parked_status_provider_idx on parked_status (provider_id);
create index parked_status_received_idx on parked_status (received_at);

-- ------------------------------------------------------------------------------------------------------- usage

create table usage_log (
    id                bigint generated always as identity primary key,
    customer_id       bigint not null references customer on delete cascade,
    kind              text not null check (kind in ('message', 'ai', 'whatsapp_cloud', 'whatsapp_qr')),
    message_id        bigint not null references message on delete cascade,
    quantity          integer not null default 1 check (quantity > 0),
    prompt_tokens     integer not null default 0 check (prompt_tokens >= 0),
    completion_tokens integer not null default 0 check (completion_tokens >= 0),
    model             text,
    created_at        timestamptz not null default now(),
    -- Nobody pays twice.
    unique (message_id, kind)
);
create index usage_log_customer_idx on usage_log (customer_id, created_at);

-- ---------------------------------------------------------------------------------------------------- webhooks

create table webhook_endpoint (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    url         text not null check (url ~ '^https?://'),
    secret      text not null, -- encrypted; signs deliveries as Standard Webhooks say
    events      text[] not null default '{message.received,message.sent,message.failed}'
        check (events <@ '{message.received,message.sent,message.failed}'::text[] and cardinality(events) > 0),
    active      boolean not null default true,
    created_at  timestamptz not null default now(),
    unique (customer_id, id)
);

create table webhook_event (
    id              bigint generated always as identity primary key,
    customer_id     bigint not null references customer on delete cascade,
    endpoint_id     bigint not null,
    event           text not null check (event <> ''),
    payload         jsonb not null check (jsonb_typeof(payload) = 'object'),
    status          text not null default 'PENDING' check (status in ('PENDING', 'DELIVERED', 'FAILED')),
    attempts        integer not null default 0 check (attempts >= 0),
    response_status integer,
    error           text,
    created_at      timestamptz not null default now(),
    delivered_at    timestamptz,
    foreign key (customer_id, endpoint_id) references webhook_endpoint (customer_id, id) on delete cascade,
    check ((status = 'DELIVERED') = (delivered_at is not null)),
    check (status <> 'FAILED' or error is not null)
) with (fillfactor = 80);
create index webhook_event_customer_idx on webhook_event (customer_id, id desc);
create index webhook_event_endpoint_idx on webhook_event (endpoint_id);

-- -------------------------------------------------------------------------------------------------- the ledger
--
-- Redis carries a job's id; this row is the job. `closed_at` is the only column that indexes of open jobs look
-- at, so a claim and its renewals rewrite no index (HOT updates).

create table job (
    id              bigint generated always as identity primary key,
    queue           text not null check (queue in ('incoming-messages', 'ai-processing', 'outgoing-messages',
        'whatsapp-cloud-send', 'whatsapp-qr-send', 'webhook-delivery')),
    -- waiting   may run now, or is `held` until an older job of its ordering key is closed
    -- delayed   may run at `run_at`: a retry, a throttle, a debounce
    -- active    a worker has claimed it, until `lease_until`
    -- completed its effects are committed
    -- failed    for good; `closed_at` is set when the dead letter has done its work
    state           text not null default 'waiting'
        check (state in ('waiting', 'delayed', 'active', 'completed', 'failed')),
    priority        smallint not null default 5 check (priority in (1, 3, 5)),
    payload         jsonb not null,
    ordering_key    text check (ordering_key <> ''),
    held            boolean not null default false,
    -- What makes a second submission of the same thing this job: a hash of tenant, channel and external id.
    dedup_key       text,
    customer_id     bigint,
    -- No foreign keys: an incoming job names its message before the row exists, and records outlive what they tell of.
    message_id      bigint,
    webhook_event_id bigint,
    -- Executions that count against max_retries: neither a `Later` nor a shutdown does.
    attempts        integer not null default 0 check (attempts >= 0),
    -- Every claim ever: the fence that a late result of an earlier claim does not pass.
    claims          integer not null default 0 check (claims >= attempts),
    -- Claims that ran out because their worker vanished: three make the job a poison.
    lost_claims     integer not null default 0 check (lost_claims <= claims),
    -- A send left the house and its answer was not kept (shared/channels/sending.py).
    outcome_unknown_since timestamptz,
    last_error      text,
    last_traceback  text,
    claimed_by      text,
    lease_until     timestamptz,
    run_at          timestamptz,
    created_at      timestamptz not null default now(),
    started_at      timestamptz,
    closed_at       timestamptz,
    check ((state = 'active') = (lease_until is not null)),
    check ((state = 'active') = (claimed_by is not null)),
    check ((state = 'delayed') = (run_at is not null)),
    check (not held or (state in ('waiting', 'delayed') and ordering_key is not null)),
    check (state <> 'failed' or last_error is not null),
    check (case state when 'completed' then closed_at is not null when 'failed' then true else closed_at is null end)
) with (fillfactor = 70);

create unique index job_dedup_idx on job (dedup_key) where dedup_key is not null;
-- At most one job of an ordering key may run ...
create unique index job_runner_idx on job (queue, ordering_key)
    where closed_at is null and not held and ordering_key is not null;
-- ... and the oldest of those behind it is the next.
create index job_held_idx on job (queue, ordering_key, id) where closed_at is null and held;
create index job_open_idx on job (queue, id) where closed_at is null; -- sweep, stats
create index job_closed_idx on job (state, closed_at) where closed_at is not null; -- prune
create index job_message_idx on job (message_id) where message_id is not null;

-- The verbs below are functions for two reasons: each step of a job costs one round trip, and each statement in
-- a volatile function sees what others committed while it waited for the lock of an ordering key.

-- Those who add to a line and those who close its head take turns; the lock ends with the transaction. Lines are
-- locked in the order of the stages, so two transactions never wait for each other.
create function job_lock(p_queue text, p_key text) returns void language sql as $$
    select pg_advisory_xact_lock(hashtextextended(p_queue || ' ' || p_key, 0))
$$;

-- What a caller must hand to Redis after its commit: {id, queue, priority, delay_ms}.
create function job_ticket(j job) returns jsonb language sql stable as $$
    select jsonb_build_object('id', j.id, 'queue', j.queue, 'priority', j.priority, 'delay_ms',
        case when j.state = 'delayed'
             then greatest(0, ceil(extract(epoch from j.run_at - clock_timestamp()) * 1000)::bigint) else 0 end)
$$;

-- Adds one job. `p_job`: {queue, payload, ordering_key?, priority?, customer_id?, message_id?,
-- webhook_event_id?, dedup_key?, delay_seconds?, debounce?}. Returns the tickets to enqueue: none for a held job.
--
-- With `debounce` true, a job of the same line that has not begun takes over the new payload and message, and
-- begins its delay anew: one reply that has seen them all.
create function job_add(p_job jsonb) returns jsonb language plpgsql as $$
declare
    v_key   text := p_job ->> 'ordering_key';
    v_queue text := p_job ->> 'queue';
    v_delay interval := make_interval(secs => coalesce((p_job ->> 'delay_seconds')::float8, 0));
    v_held  boolean := false;
    v_job   job;
begin
    if v_key is not null then
        perform job_lock(v_queue, v_key);
        if (p_job ->> 'debounce')::boolean then
            update job set payload = p_job -> 'payload', message_id = (p_job ->> 'message_id')::bigint,
                           state = 'delayed', run_at = clock_timestamp() + v_delay
            where id = (select id from job
                        where queue = v_queue and ordering_key = v_key and closed_at is null and attempts = 0
                          and state in ('waiting', 'delayed') order by id desc limit 1)
            returning * into v_job;
            if found then
                return case when v_job.held then '[]'::jsonb else jsonb_build_array(job_ticket(v_job)) end;
            end if;
        end if;
        v_held := exists (select from job where queue = v_queue and ordering_key = v_key
                                            and closed_at is null and not held);
    end if;
    insert into job (queue, state, run_at, payload, ordering_key, held, priority, customer_id, message_id,
                     webhook_event_id, dedup_key)
    values (v_queue,
            case when v_delay > interval '0' then 'delayed' else 'waiting' end,
            case when v_delay > interval '0' then clock_timestamp() + v_delay end,
            p_job -> 'payload', v_key, v_held, coalesce((p_job ->> 'priority')::smallint, 5),
            (p_job ->> 'customer_id')::bigint, (p_job ->> 'message_id')::bigint,
            (p_job ->> 'webhook_event_id')::bigint, p_job ->> 'dedup_key')
    returning * into v_job;
    return case when v_held then '[]'::jsonb else jsonb_build_array(job_ticket(v_job)) end;
end $$;

-- Lets the next of a line go. Called by those who closed its head, under its lock.
create function job_release(p_queue text, p_key text) returns jsonb language plpgsql as $$
declare
    v_job job;
begin
    update job set held = false
    where id = (select id from job where queue = p_queue and ordering_key = p_key and closed_at is null and held
                order by id limit 1)
      and not exists (select from job where queue = p_queue and ordering_key = p_key and closed_at is null and not held)
    returning * into v_job;
    return case when found then jsonb_build_array(job_ticket(v_job)) else '[]'::jsonb end;
end $$;

-- Tells the customer's endpoints that something happened: an event and a delivery job for each that listens.
create function webhook_emit(p_customer_id bigint, p_event text, p_data jsonb) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb := '[]';
    v_event   record;
begin
    for v_event in
        insert into webhook_event (customer_id, endpoint_id, event, payload)
        select p_customer_id, e.id, p_event, p_data from webhook_endpoint e
        where e.customer_id = p_customer_id and e.active and p_event = any (e.events)
        returning id
    loop
        v_tickets := v_tickets || job_add(jsonb_build_object(
            'queue', 'webhook-delivery', 'customer_id', p_customer_id, 'webhook_event_id', v_event.id,
            'payload', jsonb_build_object('webhook_event_id', v_event.id)));
    end loop;
    return v_tickets;
end $$;

-- What a job leaves behind: `p_next` jobs for job_add, `p_events` [{customer_id, event, data}] for webhook_emit.
create function job_follow_up(p_next jsonb, p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb := '[]';
    v_item    jsonb;
begin
    for v_item in select jsonb_array_elements(p_next) loop
        v_tickets := v_tickets || job_add(v_item);
    end loop;
    for v_item in select jsonb_array_elements(p_events) loop
        v_tickets := v_tickets || webhook_emit((v_item ->> 'customer_id')::bigint, v_item ->> 'event', v_item -> 'data');
    end loop;
    return v_tickets;
end $$;

-- Completes a claimed job and adds what follows from it; call it in the statement that writes the results.
-- `p_claim` is the claim's number. Raises SB001 if the job is no longer this claim's: then nothing of the
-- statement happened.
create function job_finish(p_id bigint, p_claim integer, p_next jsonb default '[]', p_events jsonb default '[]')
returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_tickets jsonb;
begin
    select * into v_job from job where id = p_id;
    if v_job.ordering_key is not null then
        perform job_lock(v_job.queue, v_job.ordering_key);
    end if;
    update job set state = 'completed', closed_at = clock_timestamp(), lease_until = null, claimed_by = null
    where id = p_id and state = 'active' and claims = p_claim;
    if not found then
        raise exception 'job % is no longer claimed under number %', p_id, p_claim using errcode = 'SB001';
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_job.ordering_key is not null then
        v_tickets := v_tickets || job_release(v_job.queue, v_job.ordering_key);
    end if;
    return v_tickets;
end $$;

-- Closes a failed job when its dead letter is written. Returns null if that was done before.
create function job_bury(p_id bigint, p_next jsonb default '[]', p_events jsonb default '[]')
returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_tickets jsonb;
begin
    select * into v_job from job where id = p_id;
    if v_job.ordering_key is not null then
        perform job_lock(v_job.queue, v_job.ordering_key);
    end if;
    update job set closed_at = clock_timestamp() where id = p_id and state = 'failed' and closed_at is null;
    if not found then
        return null;
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_job.ordering_key is not null then
        v_tickets := v_tickets || job_release(v_job.queue, v_job.ordering_key);
    end if;
    return v_tickets;
end $$;

-- Accepts an inbound message: returns {message_id, accepted, tickets}. The same external id of the same chatbot
-- and channel gives the first message's id, accepted false. Null if there is no such chatbot.
create function message_accept(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                               p_payload jsonb) returns jsonb language plpgsql as $$
declare
    v_customer bigint := (select customer_id from chatbot where id = p_chatbot_id);
    v_dedup    text := md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
    v_id       bigint;
begin
    if v_customer is null then
        return null;
    end if;
    if p_external_id is null then
        v_dedup := null;
    else
        perform pg_advisory_xact_lock(hashtextextended(v_dedup, 1));
        select id into v_id from message where chatbot_id = p_chatbot_id and channel = p_channel
                                           and external_id = p_external_id and role = 'user';
        if not found then
            select message_id into v_id from job where dedup_key = v_dedup;
        end if;
        if v_id is not null then
            return jsonb_build_object('message_id', v_id, 'accepted', false, 'tickets', '[]'::jsonb);
        end if;
    end if;
    v_id := nextval(pg_get_serial_sequence('message', 'id'));
    return jsonb_build_object('message_id', v_id, 'accepted', true, 'tickets', job_add(jsonb_build_object(
        'queue', 'incoming-messages', 'customer_id', v_customer, 'message_id', v_id, 'dedup_key', v_dedup,
        'ordering_key', p_chatbot_id || ':' || p_channel || ':' || p_external_user_id,
        'payload', p_payload || jsonb_build_object('message_id', v_id))));
end $$;
