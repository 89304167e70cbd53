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
    -- How the widget names it in public: it opens nothing, and is not guessed from another.
    public_key         text not null unique default ('pk_' || replace(gen_random_uuid()::text, '-', '')),
    -- Sites (https://shop.example) whose pages may show the widget and call its API.
    allowed_origins    text[] not null default '{}',
    -- The answer to pictures, voice, and whatever else is no text.
    unsupported_message text not null default
        'Sorry, I can only read text. Could you write it to me?' check (unsupported_message <> ''),
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
    active       boolean not null default true,
    webhook_secret text, -- encrypted; signs what its gateway sends us; null: WHATSAPP_QR_WEBHOOK_SECRET
    -- What its gateway last said; sends to a session that is not connected wait (shared/channels/whatsapp_qr/session.py).
    state        text not null default 'unknown' check (state in ('unknown', 'connected', 'disconnected')),
    state_detail text, -- in the gateway's own word: WORKING, SCAN_QR_CODE, close
    state_at     timestamptz
);

-- A key of a business's server (web/api/keys.py). Only its SHA-256 is kept: 256 random bits need no slow hash.
create table api_key (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    name        text not null check (name <> ''),
    hash        text not null unique check (hash ~ '^[0-9a-f]{64}$'),
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz
);
create index api_key_customer_idx on api_key (customer_id);

-- What a channel sent with a good signature and we could not place: an unknown number, a message of no use. Kept for a week.
create table inbound_reject (
    id          bigint generated always as identity primary key,
    source      text not null check (source in ('whatsapp_cloud', 'whatsapp_qr')),
    reason      text not null check (reason <> ''),
    subject     text, -- phone number id or session
    payload     text not null, -- text, not jsonb: what PostgreSQL's JSON refuses is kept as well
    received_at timestamptz not null default now()
);
create index inbound_reject_received_idx on inbound_reject (received_at);

-- ----------------------------------------------------------------------------------------------- conversations

create table conversation (
    id               bigint generated always as identity primary key,
    chatbot_id       bigint not null references chatbot on delete cascade,
    channel          text not null check (channel in ('widget', 'whatsapp_cloud', 'whatsapp_qr')),
    external_user_id text not null check (external_user_id <> ''),
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    -- The number of the newest change that a widget's page may see (widget_changed).
    revision         bigint not null default 0,
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
    -- The conversation's number of this message's newest change; only in a widget.
    revision        bigint,
    -- Of what a business's server says (web/api/messages.py): the same key in the same conversation is the same message.
    idempotency_key text,
    foreign key (conversation_id, chatbot_id, channel) references conversation (id, chatbot_id, channel)
        on delete cascade,
    check (role = 'assistant' or (reply_to is null and status = 'DELIVERED')),
    check (status <> 'FAILED' or error is not null)
) with (fillfactor = 80);
create index conversation_page_idx on conversation (chatbot_id, id desc);
create unique index message_idempotency_idx on message (conversation_id, idempotency_key) where idempotency_key is not null;
create index message_conversation_idx on message (conversation_id, id desc);
create unique index message_one_reply_idx on message (reply_to) where reply_to is not null;
create unique index message_inbound_idx on message (chatbot_id, channel, external_id) where role = 'user';
create index message_provider_idx on message (external_id) where role = 'assistant' and external_id is not null;

-- The conversation's row is locked from here to the commit, so numbers become visible in their order: a page that has seen
-- 7 never misses a 6 that was committed later. The notification names the visitor by a hash, and says nothing else.
create function widget_changed() returns trigger language plpgsql as $$
declare
    v_talk conversation;
begin
    update conversation set revision = revision + 1 where id = new.conversation_id returning * into v_talk;
    new.revision := v_talk.revision;
    perform pg_notify('widget', md5(v_talk.chatbot_id || ':' || v_talk.external_user_id));
    return new;
end $$;

-- A reply that is still PENDING is nobody's news.
create trigger message_widget_new before insert on message
    for each row when (new.channel = 'widget' and new.status <> 'PENDING') execute function widget_changed();
create trigger message_widget_status before update of status on message
    for each row when (new.channel = 'widget' and new.status <> old.status) execute function widget_changed();

-- A status that came before we knew the provider's id of the message; applied when the send's answer is kept,
-- dropped after a while (shared/channels/delivery_status.py).
create table parked_status (
    id          bigint generated always as identity primary key,
    provider_id text not null check (provider_id <> ''),
    status      text not null check (status in ('SENT', 'DELIVERED', 'READ', 'FAILED')),
    error       text,
    received_at timestamptz not null default now(),
    -- Whose number or session told it: it moves no other's messages. Null where the teller knows no tenants.
    chatbot_id  bigint references chatbot on delete cascade
);
create index parked_status_chatbot_idx on parked_status (chatbot_id);
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
    -- failed    for good; `closed_at` is set when the dead letter has done its work. `held`: an operator deleted it in line
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
    check (not held or (state in ('waiting', 'delayed', 'failed') and ordering_key is not null)),
    check (state <> 'failed' or last_error is not null),
    check (case state when 'completed' then closed_at is not null when 'failed' then true else closed_at is null end)
) with (fillfactor = 70);

create unique index job_dedup_idx on job (dedup_key) where dedup_key is not null;
-- At most one job of an ordering key may run ...
create unique index job_runner_idx on job (queue, ordering_key)
    where closed_at is null and not held and ordering_key is not null;
-- ... and the oldest of those behind it is the next.
create index job_held_idx on job (queue, ordering_key, id) where closed_at is null and held;
-- For the sweep, who says `id > 0`; the lines do not, so that no plan, made while few jobs are open, ever walks all open
-- jobs of a queue to find those of one line.
create index job_open_idx on job (queue, id) where closed_at is null and id > 0;
-- No index has `state`: a claim, which changes that and nothing else that an index knows, then touches no index at all.
create index job_closed_idx on job (closed_at) where closed_at is not null; -- prune
-- For a business that asks how its jobs stand.
create index job_customer_idx on job (customer_id, queue) where closed_at is not null;
create index job_message_idx on job (message_id) where message_id is not null;

-- The verbs below are functions for two reasons: each step of a job costs one round trip, and each statement in
-- a volatile function sees what others committed while it waited for the lock of an ordering key. They take many jobs
-- at once: the threads of a process end theirs together (shared/db/batching.py).

-- Those who add to a line and those who close its head take turns; the lock ends with the transaction. Lines are
-- locked in the order of the stages, those of one stage in the order of their numbers: two transactions never wait
-- for each other.
create function job_lock(p_queue text, p_keys text[]) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock(line) from (
        select distinct hashtextextended(p_queue || ' ' || key, 0) as line from unnest(p_keys) key
        where key is not null order by line) lines;
end $$;

-- What a caller must hand to Redis after its commit: {id, queue, priority, delay_ms}. Volatile, as its clock is: PostgreSQL
-- takes it into the caller's plan then, and plans it anew for each call otherwise.
create function job_ticket(j job) returns jsonb language sql volatile as $$
    select jsonb_build_object('id', j.id, 'queue', j.queue, 'priority', j.priority, 'delay_ms',
        case when j.state = 'delayed'
             then greatest(0, ceil(extract(epoch from j.run_at - clock_timestamp()) * 1000)::bigint) else 0 end)
$$;

-- A job of the same line that has not begun takes over the payload and message of `p_job`, and begins its delay anew:
-- one reply that has seen them all. Returns the tickets, or null if there is no such job.
create function job_debounce(p_job jsonb) returns jsonb language plpgsql as $$
declare
    v_job job;
begin
    update job set payload = p_job -> 'payload', message_id = (p_job ->> 'message_id')::bigint, state = 'delayed',
                   run_at = clock_timestamp() + make_interval(secs => (p_job ->> 'delay_seconds')::float8)
    where id = (select id from job
                where queue = p_job ->> 'queue' and ordering_key = p_job ->> 'ordering_key' and closed_at is null
                  and attempts = 0 and state in ('waiting', 'delayed') order by id desc limit 1)
    returning * into v_job;
    return case when not found then null when v_job.held then '[]'::jsonb else jsonb_build_array(job_ticket(v_job)) end;
end $$;

-- Adds jobs. Each of `p_jobs`: {queue, payload, ordering_key?, priority?, customer_id?, message_id?, webhook_event_id?,
-- dedup_key?, delay_seconds?, debounce?}. Returns the tickets to enqueue: none for a held job.
create function job_add(p_jobs jsonb) returns jsonb language plpgsql as $$
declare
    v_new      jsonb := '[]';
    v_tickets  jsonb := '[]';
    v_debounce jsonb;
    v_item     jsonb;
    v_queue    text;
begin
    for v_queue in select distinct j ->> 'queue' from jsonb_array_elements(p_jobs) j
                   where j ->> 'ordering_key' is not null order by 1 loop
        perform job_lock(v_queue, array(select j ->> 'ordering_key' from jsonb_array_elements(p_jobs) j
                                        where j ->> 'queue' = v_queue));
    end loop;
    if p_jobs @> '[{"debounce": true}]' then
        for v_item in select jsonb_array_elements(p_jobs) loop
            v_debounce := case when (v_item ->> 'debounce')::boolean then job_debounce(v_item) end;
            if v_debounce is null then
                v_new := v_new || jsonb_build_array(v_item);
            else
                v_tickets := v_tickets || v_debounce;
            end if;
        end loop;
    else
        v_new := p_jobs;
    end if;
    with asked as (
        select j.*, coalesce(j.delay_seconds, 0) > 0 as late,
            row_number() over (partition by j.queue, j.ordering_key order by ord) as place, ord
        from jsonb_array_elements(v_new) with ordinality as e(item, ord), jsonb_to_record(item) as j(
            queue text, payload jsonb, ordering_key text, priority smallint, customer_id bigint, message_id bigint,
            webhook_event_id bigint, dedup_key text, delay_seconds float8)
    ), added as (
        insert into job as j (queue, state, run_at, payload, ordering_key, held, priority, customer_id, message_id,
                              webhook_event_id, dedup_key)
        select queue, case when late then 'delayed' else 'waiting' end,
            case when late then clock_timestamp() + make_interval(secs => delay_seconds) end, payload, ordering_key,
            -- No `exists`: of two plans for one PostgreSQL may keep that which reads the whole table, made while it was empty.
            ordering_key is not null and (place > 1 or (
                select true from job r where r.queue = asked.queue and r.ordering_key = asked.ordering_key
                                         and r.closed_at is null and not r.held) is not null),
            coalesce(priority, 5), customer_id, message_id, webhook_event_id, dedup_key
        from asked order by ord
        returning case when not held then job_ticket(j) end as ticket
    )
    select v_tickets || coalesce(jsonb_agg(ticket) filter (where ticket is not null), '[]'::jsonb) into v_tickets from added;
    return v_tickets;
end $$;

-- Lets the next of each line go. Called by those who closed its head, under its lock.
create function job_release(p_queue text, p_keys text[]) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    with next as materialized (
        select (select id from job where queue = p_queue and ordering_key = key and closed_at is null and held
                order by id limit 1) as id
        from unnest(p_keys) key
        where not exists (select from job where queue = p_queue and ordering_key = key and closed_at is null and not held)
    ), freed as (
        update job j set held = false where j.id = any (array(select id from next)) returning job_ticket(j) as ticket
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from freed;
    return v_tickets;
end $$;

-- Tells customers' endpoints what happened, [{customer_id, event, data}]: an event and a delivery job for each that listens.
create function webhook_emit(p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_jobs jsonb;
begin
    with told as (
        insert into webhook_event (customer_id, endpoint_id, event, payload)
        select e.customer_id, e.id, happened.event, happened.data
        from jsonb_to_recordset(p_events) as happened(customer_id bigint, event text, data jsonb)
        join webhook_endpoint e on e.customer_id = happened.customer_id and e.active and happened.event = any (e.events)
        returning id, customer_id
    )
    select jsonb_agg(jsonb_build_object('queue', 'webhook-delivery', 'customer_id', customer_id, 'webhook_event_id', id,
        'payload', jsonb_build_object('webhook_event_id', id)) order by id) into v_jobs from told;
    return case when v_jobs is null then '[]'::jsonb else job_add(v_jobs) end;
end $$;

-- What jobs leave behind: `p_next` for job_add, `p_events` for webhook_emit.
create function job_follow_up(p_next jsonb, p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb := '[]';
begin
    if p_next <> '[]' then
        v_tickets := job_add(p_next);
    end if;
    if p_events <> '[]' then
        v_tickets := v_tickets || webhook_emit(p_events);
    end if;
    return v_tickets;
end $$;

-- Completes claimed jobs of one queue and adds what follows from them; call it in the statement that writes the results.
-- `p_done`: {job id: the claim's number}. Raises SB001 if one of them is not this claim's any longer: then
-- nothing of the statement happened. `p_seen` false: nobody outside sees these results before a later commit that is
-- durable, and that one makes all before it durable; if a crash forgets them first, the jobs run again.
create function job_finish(p_done jsonb, p_next jsonb default '[]', p_events jsonb default '[]', p_seen boolean default true)
returns jsonb language plpgsql as $$
declare
    v_ids     bigint[] := array(select jsonb_object_keys(p_done)::bigint);
    v_queue   text;
    v_keys    text[];
    v_closed  integer;
    v_tickets jsonb;
begin
    if not p_seen then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    select min(queue), array_agg(ordering_key) filter (where ordering_key is not null) into v_queue, v_keys
    from job where id = any (v_ids);
    if v_keys is not null then
        perform job_lock(v_queue, v_keys);
    end if;
    update job set state = 'completed', closed_at = clock_timestamp(), lease_until = null, claimed_by = null
    where id = any (v_ids) and state = 'active' and claims = (p_done ->> id::text)::integer;
    get diagnostics v_closed = row_count;
    if v_closed < cardinality(v_ids) then
        raise exception 'of %, only % are still claimed so', p_done, v_closed using errcode = 'SB001';
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_keys is not null then
        v_tickets := v_tickets || job_release(v_queue, v_keys);
    end if;
    return v_tickets;
end $$;

-- What jobs of one queue leave behind that the statement which calls this has closed itself: a stage that only talks to
-- PostgreSQL claims nothing (shared/jobs/single_statement.py). `p_keys`: their ordering keys; the rest as job_finish has it.
create function job_pass(p_queue text, p_keys text[], p_next jsonb, p_events jsonb, p_seen boolean)
returns jsonb language plpgsql as $$
begin
    if not p_seen then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    -- After the closing: who joined the line before this saw its head, and is found now.
    perform job_lock(p_queue, p_keys);
    return job_follow_up(p_next, p_events) || job_release(p_queue, p_keys);
end $$;

-- Closes a failed job when its dead letter is written. Returns null if that was done before.
create function job_bury(p_id bigint, p_next jsonb default '[]', p_events jsonb default '[]')
returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_tickets jsonb;
begin
    select * into v_job from job where id = p_id;
    perform job_lock(v_job.queue, array[v_job.ordering_key]);
    update job set closed_at = clock_timestamp() where id = p_id and state = 'failed' and closed_at is null;
    if not found then
        return null;
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_job.ordering_key is not null then
        v_tickets := v_tickets || job_release(v_job.queue, array[v_job.ordering_key]);
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
    v_line     text := p_chatbot_id || ':' || p_channel || ':' || p_external_user_id;
    v_id       bigint;
begin
    if v_customer is null then
        return null;
    end if;
    -- Before the number: of two that come at once, the lower number stands first in line, and is answered first. And before
    -- the external id: who accepts many goes through lines in their order, and two of them never wait for each other.
    perform job_lock('incoming-messages', array[v_line]);
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
    return jsonb_build_object('message_id', v_id, 'accepted', true, 'tickets', job_add(jsonb_build_array(jsonb_build_object(
        'queue', 'incoming-messages', 'customer_id', v_customer, 'message_id', v_id, 'dedup_key', v_dedup,
        'ordering_key', v_line,
        'payload', p_payload || jsonb_build_object('message_id', v_id)))));
end $$;

-- ------------------------------------------------------------------------------------------- operators' verbs
--
-- What an operator does to a job by hand (shared/jobs/operator.py). Neither waits for a row that a worker has locked: the
-- job is 'busy' then. Rows are locked in everybody's order: the job, its message, then the ordering key.

-- failed -> waiting, as if it were new, behind an open job of its ordering key. What its dead letter wrote to its message
-- or event is taken back, so that the stage does its work again. Returns {outcome: 'requeued', held, ticket}; or why not:
-- {outcome: 'gone' | 'busy' | 'answered' | 'redelivered' | the job's state}.
create function job_requeue_v1(p_id bigint) returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_refusal text;
begin
    select * into v_job from job where id = p_id for update skip locked;
    v_refusal := case
        when not found then (select case when count(*) = 0 then 'gone' else 'busy' end from job where id = p_id)
        when v_job.state <> 'failed' or v_job.closed_at is null then v_job.state
        -- A question has one reply: the fallback message, if nothing else.
        when v_job.queue = 'ai-processing' and exists (select from message where reply_to = v_job.message_id) then 'answered'
        when v_job.webhook_event_id is not null and not exists (
            select from webhook_event where id = v_job.webhook_event_id and status = 'FAILED') then 'redelivered' end;
    if v_refusal is not null then
        return jsonb_build_object('outcome', v_refusal);
    end if;
    update message set status = 'PENDING', error = null, updated_at = clock_timestamp()
    where id = v_job.message_id and status = 'FAILED';
    update webhook_event set status = 'PENDING', error = null, response_status = null
    where id = v_job.webhook_event_id and status = 'FAILED';
    perform job_lock(v_job.queue, array[v_job.ordering_key]);
    -- The clock of its maximum age begins anew; the fence (claims) goes on. Whoever requeues a send of unknown outcome wants it
    -- sent.
    update job j set state = 'waiting', created_at = clock_timestamp(), started_at = null, closed_at = null,
        attempts = 0, lost_claims = 0, outcome_unknown_since = null, last_error = null, last_traceback = null,
        held = j.ordering_key is not null and exists (
            select from job head where head.queue = j.queue and head.ordering_key = j.ordering_key
                                   and head.closed_at is null and not head.held)
    where id = p_id returning * into v_job;
    return jsonb_build_object('outcome', 'requeued', 'held', v_job.held, 'ticket', job_ticket(v_job));
end $$;

-- waiting, delayed, failed -> failed for this reason; a held job stays held. Its dead letter, which the caller writes next,
-- closes it and lets its ordering key go on. Returns 'discarded'; or why not: 'gone', 'busy' or the job's state.
create function job_discard_v1(p_id bigint, p_reason text) returns text language plpgsql as $$
declare
    v_job job;
begin
    select * into v_job from job where id = p_id for update skip locked;
    if not found then
        return (select case when count(*) = 0 then 'gone' else 'busy' end from job where id = p_id);
    elsif v_job.state not in ('waiting', 'delayed', 'failed') then
        return v_job.state;
    end if;
    update job set state = 'failed', run_at = null, last_traceback = null,
        last_error = concat_ws('; it had failed: ', p_reason, case when state = 'failed' then last_error end)
    where id = p_id and not (state = 'failed' and starts_with(last_error, p_reason));
    return 'discarded';
end $$;
