-- name: customers(customers, chatbots)
-- One of them has half of everything: of each two conversations, one is of its `chatbots`.
with new_customers as (
    insert into customer (name, plan_price_cents) select 'Shop ' || n, (array[0, 5000, 12000])[1 + n % 3]
    from generate_series(1, :customers) n returning id
), new_bases as (
    insert into knowledge_base (customer_id, name) select id, 'Answers' from new_customers returning id, customer_id
)
insert into chatbot (customer_id, knowledge_base_id, name)
select customer_id, id, 'Bot ' || n from new_bases, lateral generate_series(1, case
    when customer_id = (select min(customer_id) from new_bases) then :chatbots else 1 + customer_id % 2 end) n
order by customer_id, n

-- name: conversations(conversations)
-- Begun over a year. Of those of the last weeks the bot has most, of older ones most are closed; people have one in fifty.
with chatbots as materialized (
    select array_agg(id order by id) filter (where customer_id = (select min(id) from customer)) as of_largest,
        array_agg(id order by id) filter (where customer_id <> (select min(id) from customer)) as of_others
    from chatbot
), drawn as (
    select n, case n % 2 when 0 then of_largest[1 + n / 2 % cardinality(of_largest)]
        else of_others[1 + floor(power(random(), 2) * cardinality(of_others))::integer] end as chatbot_id,
        (array['widget', 'widget', 'whatsapp_cloud', 'whatsapp_cloud', 'whatsapp_qr', 'telegram'])[1 + n / 16 % 6] as channel,
        now() - interval '365 days' * (1 - n::float8 / :conversations) as began_at,
        case when random() < 0.02 then 'person' when random() < 0.3 + 0.6 * n / :conversations then 'bot' else 'closed' end as owner
    from chatbots, generate_series(1, :conversations) n
)
insert into conversation (id, chatbot_id, channel, external_user_id, contact_id, created_at, updated_at, active_at, owner,
    handed_over_at, handover_reason)
overriding system value
select n, chatbot_id, channel,
    case channel when 'widget' then 'w_' || md5(n::text) when 'telegram' then (700000000 + n)::text else (491500000000 + n)::text end,
    n, began_at, began_at, began_at, owner, case when owner = 'person' and n % 4 = 0 then began_at end,
    case when owner = 'person' and n % 4 = 0 then (array['asked', 'misses', 'provider_down'])[1 + n % 3] end
from drawn

-- name: contacts
insert into contact (id, chatbot_id, name, created_at)
select contact_id, chatbot_id, case when channel <> 'widget' then
    (array['Ana', 'Ben', 'Chloe', 'Deniz', 'Emma', 'Farid', 'Greta', 'Hiro', 'Ines', 'Jonas'])[1 + id % 10] || ' '
    || (array['Alves', 'Braun', 'Costa', 'Dupont', 'Ferrari', 'Garcia', 'Huber', 'Ivanova', 'Jansen', 'Kaya', 'Lopez'])[1 + id % 11]
    || ' ' || id end, created_at
from conversation

-- name: identities
insert into contact_identity (contact_id, chatbot_id, family, name)
select contact_id, chatbot_id, contact_family_v1(channel), external_user_id from conversation

-- name: phrases
-- What people say: sentences of common words, few of them rare.
create temporary table phrase as
select number, string_agg(word, ' ' order by place) as text
from generate_series(1, 4000) number, lateral (
    select place, (string_to_array('when do you ship my order to the shop and is it still in stock I would like return a refund '
        'please where invoice address changed size colour blue red shirt shoes delivery late arrived broken exchange discount code '
        'payment failed card voucher gift wrap tomorrow today week thanks hello good morning can help me with account password '
        'email phone number we are open from nine until five store street city parcel tracking customs Austria warranty', ' '
    ))[1 + floor(power(random(), 2) * 88)::integer] as word
    from generate_series(1, 6 + number % 22) place) words
group by number

-- name: messages(sessions, conversations, first, last)
-- Sessions of five questions and answers, in the order of time. A conversation has several over the year; one in twenty sessions is of
-- one of fifty customers who write all the time. Each tenth question names an order.
with sessions as materialized (
    select n, case when n % 20 = 7 then 1 + n / 20 % 50 * (:conversations / 50) + n / 20 % 2
            else 1 + n::bigint * 7919 % :conversations end as conversation_id,
        now() - interval '365 days' * (1 - n::float8 / :sessions) as at
    from generate_series(:first::integer, :last::integer) n
), written as materialized (
    select sessions.*, generate_series(0, 9) as place from sessions
), turns as materialized (
    select written.*, (n - 1) * 10 + 1 + place as id, place % 2 as side from written
)
insert into message (id, conversation_id, chatbot_id, channel, role, content, status, external_id, reply_to, created_at, updated_at)
select turns.id, conversation_id, chatbot_id, channel, case side when 0 then 'user' else 'assistant' end,
    phrase.text || case when place = 0 and n % 2 = 0 then ' order ' || 40000000 + turns.id else '' end,
    case side when 0 then 'DELIVERED' else (array['SENT', 'DELIVERED', 'READ'])[1 + n % 3] end,
    case when channel <> 'widget' then 'wamid.' || md5(turns.id::text) when side = 0 then md5(turns.id::text) end,
    case side when 1 then turns.id - 1 end, at + make_interval(secs => 20 * place), at + make_interval(secs => 20 * place + 5)
from turns join conversation on conversation.id = conversation_id join phrase on phrase.number = 1 + turns.id * 31 % 4000
order by turns.id

-- name: activity
-- A conversation was active when its last message was written.
update conversation set active_at = newest.at, updated_at = newest.at,
    handed_over_at = case when handed_over_at is not null then newest.at end
from (select conversation_id, max(created_at) as at from message group by conversation_id) newest
where conversation.id = newest.conversation_id

-- name: usage(first, last)
insert into usage_log (customer_id, chatbot_id, kind, message_id, prompt_tokens, completion_tokens, model, cost, counted_tokens, created_at)
select chatbot.customer_id, case when used.kind = 'ai' then chatbot.id end, used.kind, message.id, case when used.kind = 'ai' then 900 + message.id % 700 else 0 end,
    case when used.kind = 'ai' then 60 + message.id % 90 else 0 end,
    case when used.kind = 'ai' then (array['gpt-4o-mini', 'gpt-4o-mini', 'gpt-4o'])[1 + chatbot.id % 3] end,
    case when used.kind = 'ai' then 0.0004 end, case when used.kind = 'ai' then 1000 end, message.created_at
from message join chatbot on chatbot.id = message.chatbot_id,
    unnest(case message.role when 'user' then array['message', 'ai'] else array[message.channel] end) used(kind)
where message.id between :first and :last

-- name: knowledge(items)
-- The largest customer's base has ten times as many items as another's.
insert into knowledge_item (knowledge_base_id, language, title, content)
select base.id, 'english', initcap(left(title.text, 60)) || ' ' || n, body.text || '. ' || title.text || '.'
from knowledge_base base cross join generate_series(1, :items) n
    join phrase title on title.number = 1 + n % 4000 join phrase body on body.number = 1 + (n * 13 + 5) % 4000
where n <= :items / 10 or base.customer_id = (select min(id) from customer)

-- name: sources
with new_sources as (
    insert into knowledge_source (knowledge_base_id, kind, location, state)
    select base.id, 'sitemap', 'https://shop.example/' || n, 'listed' from knowledge_base base, generate_series(1, case when base.customer_id = (select min(id) from customer) then 10 else 1 end) n
    returning id
)
insert into knowledge_document (source_id, location, state, error)
select id, 'https://shop.example/page/' || n, case when n % 40 = 0 then 'failed' else 'stored' end, case when n % 40 = 0 then 'answered 404' end
from new_sources, generate_series(1, 300) n

-- name: gaps(gaps)
insert into knowledge_gap (knowledge_base_id, chatbot_id, message_id, question, language, words, reason, created_at, closed_at)
select chatbot.knowledge_base_id, chatbot.id, message.id, message.content, 'english',
    (string_to_array(message.content, ' '))[1:8], 'asked', message.created_at, case when message.id % 3 = 0 then message.created_at end
from message join chatbot on chatbot.id = message.chatbot_id
where message.role = 'user' and message.id in (
    select (select max(id) from message) - 2 * n * greatest(1, (select max(id) from message) / 4 / :gaps) - 1 from generate_series(1, :gaps) n)

-- name: endpoints
insert into webhook_endpoint (customer_id, url, secret, description)
select customer.id, 'https://shop.example/hooks/' || n, 'unused', 'Order system ' || n from customer, generate_series(1, 3) n

-- name: events(events)
-- Of the last month. One in fifty was given up, one in a thousand is tried again by itself.
insert into webhook_event (customer_id, endpoint_id, event, payload, status, attempts, response_status, error, created_at, delivered_at,
    next_attempt_at)
select endpoint.customer_id, endpoint.id, (array['message.received', 'message.sent', 'conversation.handoff'])[1 + n % 3],
    jsonb_build_object('data', jsonb_build_object('conversation_id', n, 'content', repeat('word ', 30))),
    case when n % 50 = 0 then 'FAILED' else 'DELIVERED' end, 1, case when n % 50 = 0 then 500 else 200 end,
    case when n % 50 = 0 then 'HTTP 500' end, at, case when n % 50 <> 0 then at + interval '1 second' end,
    case when n % 1000 = 0 then now() + interval '1 hour' end
from (select array_agg(id order by id) filter (where customer_id = (select min(id) from customer)) as of_largest,
        array_agg(id order by id) as of_all from webhook_endpoint) ids,
    generate_series(1, :events) n, lateral (select now() - interval '30 days' * (1 - n::float8 / :events) as at) time,
    lateral (select case n % 2 when 0 then of_largest[1 + n / 2 % cardinality(of_largest)]
        else of_all[1 + floor(random() * cardinality(of_all))::integer] end as id) drawn
    join webhook_endpoint endpoint on endpoint.id = drawn.id

-- name: attempts
insert into webhook_attempt (event_id, endpoint_id, customer_id, number, trigger, started_at, ms, status, answer, error_code, error)
select id, endpoint_id, customer_id, 1, 'first', created_at, '{"connect": 3, "answer": 40}', response_status, 'answer ' || id,
    case when status = 'FAILED' then 'http_500' end, error
from webhook_event

-- name: dead_letters(letters)
-- Of a month, three in ten open; by a dozen causes.
insert into dead_letter (job_id, queue, channel, error_code, error, customer_id, chatbot_id, conversation_id, message_id, attempts,
    outcome_unknown, began_at, failed_at, state, changed_by, changed_at)
select 100000000 + n, cause.queue, cause.channel, cause.code, 'what the provider said: ' || cause.code, chatbot.customer_id, chatbot.id,
    message.conversation_id, message.id, 4, n % 97 = 0, at, at, state, case when state <> 'open' then 'ops@shop.example' end,
    case when state <> 'open' then at end
from generate_series(1, :letters) n
    join message on message.id = (select max(id) from message) - 2 * n - (n % 2)
    join chatbot on chatbot.id = message.chatbot_id,
    lateral (select now() - interval '29 days' * (1 - n::float8 / :letters) as at, case when n % 10 < 3 then 'open'
        when n % 10 < 6 then 'replayed' when n % 10 < 8 then 'answered' else 'ignored' end as state) drawn,
    lateral (select case when n % 2 = 0 then 'ai-processing' else 'whatsapp-cloud-send' end as queue,
        case when n % 2 = 0 then message.channel else 'whatsapp_cloud' end as channel,
        (array['http_500', 'http_429', '190', '131047', 'timeout', 'poison'])[1 + n / 10 % 6] as code) cause

-- name: audit(entries)
insert into audit_entry (at, user_id, customer_id, action, subject, subject_id, details)
select now() - interval '365 days' * (1 - n::float8 / :entries), people.id, case when n % 5 = 0 then null else customer.id end,
    (array['conversation.assigned', 'conversation.closed', 'texts.read', 'knowledge.item_changed', 'user.logged_in'])[1 + n / 7 % 5],
    'conversation', n, '{"name": "Emma"}'
from generate_series(1, :entries) n
    join lateral (select id from customer order by id limit 1 offset case n % 2 when 0 then 0 else n / 2 % 10 end) customer on true
    join lateral (select id from app_user order by id limit 1 offset n % 3) people on true

-- name: notes(user_id)
insert into conversation_note (conversation_id, user_id, author, content)
select id, :user_id, 'Emma', 'Calls back.' from conversation where owner = 'person'

-- name: assigned(user_id, customer_id)
update conversation set assigned_to = :user_id
from chatbot where chatbot.id = chatbot_id and customer_id = :customer_id and owner = 'person' and conversation.id % 3 = 0

-- name: quick_replies
insert into quick_reply (customer_id, shortcut, content) select customer.id, 'reply-' || n, 'We are open from nine to five.'
from customer, generate_series(1, 40) n

-- name: jobs(jobs)
-- Those of the last two hours, closed; a thousandth waits.
insert into job (queue, state, payload, ordering_key, customer_id, message_id, attempts, claims, created_at, started_at, closed_at)
select (array['incoming-messages', 'ai-processing', 'outgoing-messages', 'webhook-delivery'])[1 + n % 4],
    case when is_open then 'waiting' else 'completed' end, jsonb_build_object('message_id', n), 'old-' || n,
    (select min(id) from customer) + n % 10, (select max(id) from message) - n, 1, 1, at, case when not is_open then at end,
    case when not is_open then at end
from generate_series(1, :jobs) n,
    lateral (select now() - make_interval(secs => 7200.0 * n / :jobs) as at, n % 1000 = 0 as is_open) drawn

-- name: queue_minutes
insert into queue_minute (queue, minute, completed, failed, wait_seconds, longest_wait)
select queue, date_trunc('minute', now()) - make_interval(mins => n), 40 + n % 30, n % 50 / 49, 12.5, 1.5
from unnest(array['incoming-messages', 'ai-processing', 'outgoing-messages', 'whatsapp-cloud-send', 'webhook-delivery']) queue,
    generate_series(1, 2879) n

-- name: sequences
select setval(pg_get_serial_sequence('message', 'id'), (select max(id) from message)),
    setval(pg_get_serial_sequence('conversation', 'id'), (select max(id) from conversation)),
    setval('contact_id_seq', (select max(id) from contact))

-- name: indexes(tables)
select indexname as name, indexdef as definition from pg_indexes
where tablename = any (:tables) and not exists (select from pg_constraint where conname = indexname)

-- name: replays(letters)
-- What operators have had sent again.
with actions as (
    insert into bulk_action (kind, filter, total, counts, pace, state, created_by, finished_at)
    select 'replay', '{"error_code": "190"}', 400, '{"replayed": 380, "window_closed": 20}', 20, 'done', 'ops@shop.example', now()
    from generate_series(1, 30) returning id
)
update dead_letter set bulk_action_id = (select min(id) from actions) + dead_letter.id % 30
where state = 'replayed' and id <= :letters
