-- name: claim
-- The job, and in the same round trip what the provider must know: the chatbot, whom to ask (shared/ai/failover.py), the last ten
-- messages, the items of knowledge that fit best. A reply belongs where its question stands, whatever its id. Texts are read
-- as far as a prompt takes them, and one character more, by which shared/ai/prompt.py sees that it has to cut.
-- What is searched for here takes some milliseconds, for others' claims wait in the same statement: a base with many items for a
-- message of this length is searched afterwards, and so is one with vectors (shared/ai/search.py).
select claimed_jobs.*, (select to_jsonb(context) from (
    select chatbot.id as chatbot_id, chatbot.name as chatbot_name, left(chatbot.system_prompt, 20000) as system_prompt,
        chatbot.unsupported_message, chatbot.unsupported_hands_over, chatbot.can_see,
        chatbot.knowledge_characters, chatbot.history_characters, question.channel,
        reply.id as reply_id, reply.status = 'SUPERSEDED' as is_superseded,
        case when hours.are_over then coalesce(chatbot.closed_message, chatbot.handover_message) else chatbot.handover_message end
            as handover_message, hours.are_over and chatbot.closed_hands_over as closed_hands_over,
        chatbot.no_answer_message, chatbot.no_answer_hands_over, chatbot.cite_sources,
        -- How many more questions without an answer hand over.
        case when chatbot.no_answer_hands_over then chatbot.no_answer_hands_over_after - (
            select count(*) filter (where is_unbroken) from (
                select bool_and(metadata @> '{"tool": {"name": "no_answer"}}') over (order by created_at desc) as is_unbroken
                from message where conversation_id = question.conversation_id and reply_to > coalesce(conversation.context_after, 0)
                    and status not in ('FAILED', 'SUPERSEDED') and chatbot.no_answer_hands_over_after > 1
                order by created_at desc limit 9) latest_replies) end as misses_left,
        chatbot.fallback_message, exists (select from budget where budget.customer_id = claimed_jobs.customer_id) as has_budget,
        conversation.owner, now() as claimed_at,
        chatbot.knowledge_base_id is not null as has_knowledge,
        searched.question, searched.before,
        case when search.is_quick then knowledge_search_v8(base.id, searched.question, searched.before, 8001) end as items,
        search.is_quick as is_searched,
        -- Whose vectors serve, if the base has any (shared/ai/search.py).
        base.id as knowledge_base_id, base.languages as knowledge_languages,
        case when base.embedding_model is not null then base.embedded_model end as embedded_model,
        jsonb_build_array(jsonb_build_object('position', 1, 'base_url', chatbot.provider_base_url,
            'api_key', chatbot.provider_api_key, 'model', chatbot.model, 'temperature', chatbot.temperature,
            'max_tokens', chatbot.max_tokens, 'timeout', chatbot.provider_timeout)) || coalesce((
                select jsonb_agg(jsonb_build_object('position', position, 'base_url', base_url, 'api_key', api_key, 'model', model,
                    'temperature', coalesce(next_provider.temperature, chatbot.temperature),
                    'max_tokens', coalesce(next_provider.max_tokens, chatbot.max_tokens), 'timeout', timeout) order by position)
                from chatbot_provider next_provider where next_provider.chatbot_id = chatbot.id), '[]') as providers,
        (select started_at is null from job where job.id = claimed_jobs.job_id) as untried,
        -- What it came with is being fetched: fails again and again, nobody has begun with it, or waits its turn.
        -- Whose message it is, is asked here: as a condition it would have the index of jobs by message read from its beginning.
        (select case when fetching.message_id > question.id then null
                     when fetching.state = 'failed' or fetching.state = 'delayed' and fetching.attempts > 0 then 'failing'
                     when fetching.claims = 0 then 'unclaimed' else 'open' end
         from job fetching where fetching.queue = 'media-fetch' and fetching.ordering_key = question.conversation_id::text
            and fetching.closed_at is null and not fetching.held) as media_fetch,
        -- Since when the provider is tried, null at the first attempt (the job is as it was before this statement), or since when
        -- the customer waits, if the message before got the fallback: who was patient once is not asked to be so again.
        greatest(
            (select extract(epoch from clock_timestamp() - job.started_at) from job where job.id = claimed_jobs.job_id),
            (select extract(epoch from clock_timestamp() - question.created_at)
             from (select metadata from message where conversation_id = question.conversation_id and reply_to is not null
                   order by created_at desc limit 1) last_reply
             where last_reply.metadata ? 'fallback'))::float8 as tried_for,
        -- Whom to show that somebody types (shared/channels/typing_indicator.py), and by which account.
        case when not chatbot.shows_typing then null
            when question.channel = 'whatsapp_cloud' then (
                select jsonb_build_object('account', phone_number_id, 'secret', access_token, 'message_id', question.external_id)
                from whatsapp_cloud_account where chatbot_id = chatbot.id and active and question.external_id is not null)
            when question.channel = 'whatsapp_qr' then (
                select jsonb_build_object('account', session_name, 'secret', api_key, 'dialect', dialect,
                    'chat_id', coalesce(question.address, conversation.external_user_id), 'message_id', question.external_id)
                from whatsapp_qr_session where chatbot_id = chatbot.id and active and state <> 'disconnected')
            when question.channel = 'telegram' then (
                select jsonb_build_object('account', bot_id, 'secret', token,
                    'chat_id', coalesce(question.address, conversation.external_user_id), 'topic', question.metadata -> 'topic')
                from telegram_bot where chatbot_id = chatbot.id and active)
            end as typing,
        -- Whether a page shows the conversation now, and the reply while it is written.
        question.channel = 'widget' and exists (select from open_page where open_until > now()
            and topic = md5(question.chatbot_id || ':' || conversation.external_user_id)) as is_watched,
        conversation.braked_until > now() as braked, question.metadata ->> 'auto_submitted' as auto_submitted,
        -- The bot's replies of the last hour, newest first, if they are many: what shared/ai/brakes.py looks at.
        (select case when count(*) >= 5 then jsonb_agg(jsonb_build_array(age, pause, is_same, is_same
                -- But for their digits: those of the question are looked for, and taken out of it, once.
                or (select question.content ~ '[0-9]') and translate(left(lower(btrim(content)), 1000), '0123456789', '')
                    = (select translate(left(lower(btrim(question.content)), 1000), '0123456789', ''))) order by age) end from (
            select extract(epoch from now() - reply.created_at) as age, answered.content,
                lower(btrim(answered.content)) = (select lower(btrim(question.content))) as is_same,
                -- Seconds until the customer answered it; null for a message that was accepted before the reply was written.
                case when lag(answered.id, 1, question.id) over newest_first > reply.id then extract(epoch from
                    lag(answered.created_at, 1, question.created_at) over newest_first - reply.created_at) end as pause
            from (select id, reply_to, created_at from message
                  where conversation_id = question.conversation_id and reply_to is not null
                    -- After a silence that a person has ended (ownership.sql), only those that came then.
                    and created_at > greatest(now() - interval '1 hour', case when conversation.brakes = 0 then conversation.braked_until end)
                  order by created_at desc limit 100) reply
            join message answered on answered.id = reply.reply_to
            window newest_first as (order by reply.created_at desc)
        ) recent_replies) as pace,
        -- Its customer deleted the question, and nothing else waits for an answer.
        case when question.revoked_at is not null then not exists (
            select from message earlier where earlier.conversation_id = question.conversation_id and earlier.role not in ('assistant', 'agent')
                and earlier.id <= question.id and earlier.revoked_at is null
                and earlier.id > coalesce((select max(answer.reply_to) from message answer
                    where answer.conversation_id = question.conversation_id and answer.reply_to < question.id), 0))
        else false end as is_revoked,
        -- Nothing to read: the question has no words, nor has any other since the last reply.
        case when question.metadata ? 'unsupported' then not exists (
            select from message earlier where earlier.conversation_id = question.conversation_id and earlier.role not in ('assistant', 'agent')
                and earlier.id <= question.id and not earlier.metadata ? 'unsupported'
                and earlier.id > coalesce((select max(answer.reply_to) from message answer
                    where answer.conversation_id = question.conversation_id and answer.reply_to < question.id), 0))
        else false end as unreadable,
        -- The customer was told so two minutes ago at most, and has sent nothing since that can be read.
        case when question.metadata ? 'unsupported' then exists (
            select from (select * from message where conversation_id = question.conversation_id and reply_to is not null
                         order by created_at desc limit 1) last_reply
            where last_reply.metadata @> '{"finish_reason": "unsupported"}' and last_reply.created_at > now() - interval '2 minutes'
                and last_reply.status not in ('FAILED', 'SUPERSEDED') and last_reply.reply_to < question.id and not exists (
                    select from message since where since.conversation_id = question.conversation_id and since.id <= question.id
                        and since.id > last_reply.reply_to and not since.metadata ? 'unsupported' and since.revoked_at is null
                        and since.role not in ('assistant', 'agent')))
        else false end as is_told_already,
        (select jsonb_agg(jsonb_build_array(case turn.role when 'user' then 'user' else 'assistant' end,
                case when turn.id = question.id then turn.content else left(turn.content, 4001) end,
                extract(epoch from coalesce(turn.sent_at, turn.created_at)), turn.author,
                -- What came with it, and what that says; read for messages of these kinds only.
                case when turn.kind in ('media', 'form') then (
                    select jsonb_agg(jsonb_build_object('text', case when file.kind = 'document' then left(file.text, 8001) end,
                        'filename', file.filename, 'mime', file.mime, 'size', file.size, 'storage_key', file.storage_key)
                        order by file.position)
                    from media file where file.message_id = turn.id) end,
                left(turn.data #>> '{quoted,text}', 300), turn.data ->> 'reaction')
                order by coalesce(turn.reply_to, turn.id), turn.id)
         from (select id, role, case when data ? 'choices' then content || choice_lines_v1(data -> 'choices') else content end
                   as content, reply_to, created_at, sent_at, kind, data,
                   -- Who of the business wrote it; null: the bot, or the customer.
                   case when role <> 'user' then coalesce(left(metadata ->> 'author', 80),
                       case when role = 'agent' or metadata ? 'source' then 'a colleague' end) end as author
               from message
               where conversation_id = question.conversation_id and status not in ('FAILED', 'SUPERSEDED')
                 and revoked_at is null and kind <> 'system'
                 and (id = question.id or coalesce(reply_to, id) > coalesce(conversation.context_after, 0))
                 and (role = 'user' and id <= question.id or role <> 'user' and coalesce(reply_to, id) < question.id)
               order by coalesce(reply_to, id) desc, id desc limit 10) turn) as history
    from message question join chatbot on chatbot.id = question.chatbot_id
    join conversation on conversation.id = question.conversation_id
    left join knowledge_base base on base.id = chatbot.knowledge_base_id
    left join lateral searched_words_v1(question.conversation_id,
        case when chatbot.knowledge_base_id is not null then question.id end) searched on true
    left join lateral (select (base.embedding_model is null or base.embedded_model is null) and not exists (
        select from knowledge_word item where item.knowledge_base_id = base.id and item.word = ''
        offset 20000 / (1 + length(searched.question) + coalesce(length(searched.before), 0))) as is_quick offset 0) search on true
    left join message reply on reply.reply_to = question.id
    left join lateral (select case when chatbot.opening_hours is not null
        then coalesce(opens_at_v1(chatbot.opening_hours, chatbot.time_zone, now()) > now(), true) else false end as are_over) hours on true
    -- Not `= 'user'`: an index of user messages would be read whole by a plan that was made while it was empty.
    where question.id = claimed_jobs.message_id and question.role not in ('assistant', 'agent')
) context) as loaded
from job_claim_v3('ai-processing', $1) as claimed_jobs

-- name: save_reply
-- The reply, its tokens, the job's end and the job that delivers it. What few replies have besides: the conversation is handed
-- over to a person, the question is kept because it had no good answer. Of a base's open questions the newest 2,000 are kept
-- (shared/teaching/gaps.py). If the conversation has changed hands since the claim, the reply is kept, and never leaves.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, message_id bigint, customer_id bigint,
        text text, metadata jsonb, calls jsonb, refused_by bigint, handover text,
        gap_question text, gap_reason text, claimed_at timestamptz)
), new_replies as (
    insert into message (conversation_id, chatbot_id, channel, role, content, status, reply_to, metadata, address)
    select conversation_id, chatbot_id, channel, 'assistant', input.text,
        case when (select owner = 'bot' and coalesce(owner_since <= input.claimed_at, true)
                   from conversation where id = question.conversation_id) then 'PENDING' else 'SUPERSEDED' end,
        question.id, input.metadata, question.address
    from input join message question on question.id = input.message_id order by n
    returning id, conversation_id, chatbot_id, channel, reply_to, status
), replies as (
    select input.*, new_replies.id as reply_id, conversation_id, chatbot_id, channel, status = 'PENDING' as may_leave
    from input join new_replies on new_replies.reply_to = input.message_id
), old_drafts as (
    delete from reply_draft where conversation_id = any (array(select conversation_id from replies where channel = 'widget'))
), tokens as (
    insert into usage_log (customer_id, chatbot_id, kind, message_id, quantity, prompt_tokens, completion_tokens, model, cost,
        counted_tokens)
    select customer_id, chatbot_id, usage.kind, reply_id, usage.calls, usage.prompt_tokens, usage.completion_tokens, usage.model,
        usage.cost, usage.counted_tokens
    from replies, usage_of_v1(replies.calls) usage
), handovers as materialized ( -- in the order in which incoming-messages goes through conversations
    select coalesce(jsonb_agg(ticket), '[]') as tickets
    from (select replies.* from replies join conversation on conversation.id = conversation_id
          where handover is not null and may_leave
          order by conversation.chatbot_id, conversation.channel, external_user_id) handed_over,
        jsonb_array_elements(hand_over_v1(conversation_id, handover, message_id, p_tells => false)) ticket
), gaps as (
    insert into knowledge_gap (knowledge_base_id, chatbot_id, message_id, question, language, words, reason)
    select base.id, chatbot.id, message_id, left(gap_question, 1000), base.language,
        tsvector_to_array(to_tsvector(base.language::regconfig, left(gap_question, 1000))), gap_reason
    from replies join chatbot on chatbot.id = replies.chatbot_id join knowledge_base base on base.id = chatbot.knowledge_base_id
    where gap_reason is not null and not (select is_test from conversation where id = conversation_id)
    on conflict (message_id) do nothing
    returning knowledge_base_id, message_id, question, reason
), oldest_gaps as (
    delete from knowledge_gap where id = any (array(
        select oldest.id from (select distinct knowledge_base_id as id from gaps) base, lateral (
            select id from knowledge_gap where knowledge_base_id = base.id and closed_at is null
            order by id desc offset 1999 limit 10 for update skip locked) oldest))
)
select jsonb_agg(n) as done, (select tickets from handovers) || job_complete_v2(
    'ai-processing', jsonb_object_agg(job_id, claim),
    coalesce(jsonb_agg(outgoing_job_v1(customer_id, reply_id, conversation_id, channel)) filter (where may_leave), '[]'),
    (select coalesce(jsonb_agg(message_event_v2('knowledge.gap', customer_id, chatbot_id, conversation_id, channel, message_id,
        jsonb_build_object('knowledge_base_id', knowledge_base_id, 'question', question, 'reason', reason))), '[]')
        from gaps join replies using (message_id)),
    p_durable => false)
    -- Last, for budgets are locked: what the calls cost, for those who have one.
    || case when exists (select from budget where customer_id = any (array(select customer_id from replies))) then budget_settle_v1(
        (select jsonb_agg(jsonb_build_object('customer_id', customer_id, 'chatbot_id', chatbot_id, 'calls', calls,
            'refused_by', refused_by)) from replies))
        else '[]' end as tickets
from replies having count(*) > 0

-- name: make_room(message_id)
-- The conversation is the bot's again: the reply that was superseded gives its place to another.
update message set reply_to = null, metadata = metadata || jsonb_build_object('superseded_reply_to', reply_to)
where reply_to = :message_id and status = 'SUPERSEDED'

-- name: brake
-- The bot falls silent in a conversation, and its business hears of it. A brake within a day of the last one lasts twice as long.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, message_id bigint, customer_id bigint,
        reason text, seconds float8, most_doublings integer)
), questions as materialized (
    select input.*, message.conversation_id from input join message on message.id = input.message_id
), locked_conversations as materialized ( -- in the order in which incoming-messages goes through them
    select id, brakes, braked_until from conversation where id = any (array(select conversation_id from questions))
    order by chatbot_id, channel, external_user_id for no key update
), braked_conversations as (
    update conversation set
        brakes = recent_brakes.count + 1,
        braked_until = clock_timestamp() + make_interval(secs => seconds * 2 ^ least(recent_brakes.count, most_doublings))
    from questions input join locked_conversations before on before.id = input.conversation_id,
        lateral (select case when before.braked_until > now() - interval '1 day' then before.brakes else 0 end as count) recent_brakes
    where conversation.id = before.id
    returning input.n, input.job_id, input.claim, input.customer_id, input.reason, conversation.id, conversation.chatbot_id,
        conversation.channel, conversation.external_user_id, conversation.braked_until
)
select jsonb_agg(n) as done, job_complete_v2(
    'ai-processing', jsonb_object_agg(job_id, claim), '[]',
    jsonb_agg(conversation_event_v1('conversation.braked', customer_id, chatbot_id, id, channel, external_user_id,
        jsonb_build_object('reason', reason, 'until', to_char(braked_until at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))),
    p_durable => false) as tickets
from braked_conversations having count(*) > 0

-- name: attempt_failed(job_id, claim, error, traceback, retry_delays, outcome_unknown, customer_error, details)
-- The last failure is kept on the message with the provider's words; the job does not keep them. What answers cost that were of
-- no use is booked on the question; that of several attempts is added up.
with failed_attempt as (
    select * from job_fail_attempt_v1(:job_id, :claim, :error, :traceback, :retry_delays::float8[], :outcome_unknown)
), unanswered_message as (
    update message set error = :customer_error, updated_at = clock_timestamp()
    from failed_attempt where message.id = failed_attempt.message_id and retry_in is null
)
select attempt, retry_in, case when (:details::jsonb) #> '{booking,calls}' <> '[]'
    then usage_book_v1(jsonb_build_array((:details::jsonb) -> 'booking')) else '[]' end as tickets
from failed_attempt

-- name: dead_letter(job_id)
-- The message that could not be answered gets the chatbot's fallback, unless it has a reply, or the conversation changed hands
-- since it was tried; that goes out as any other. What it says is true: a person has the conversation, unless the chatbot says otherwise.
with dead_job as materialized (
    select job.customer_id, job.message_id, job.last_error, job.started_at, question.conversation_id, question.address,
        chatbot.fallback_message, chatbot.fallback_hands_over
    from job left join message question on question.id = job.message_id left join chatbot on chatbot.id = question.chatbot_id
    where job.id = :job_id and job.state = 'failed' and job.closed_at is null
    for update of job -- an operator may requeue it at this moment
), unanswered_message as (
    update message set error = case when starts_with(error, last_error) then error else last_error end,
        updated_at = clock_timestamp()
    from dead_job where message.id = dead_job.message_id
), old_draft as (
    delete from reply_draft where conversation_id = (select conversation_id from dead_job)
), fallback_reply as (
    insert into message (conversation_id, chatbot_id, channel, role, content, status, reply_to, metadata, address)
    select conversation.id, conversation.chatbot_id, conversation.channel, 'assistant', fallback_message, 'PENDING', message_id,
           jsonb_build_object('fallback', true, 'reason', last_error), address
    from dead_job join conversation on conversation.id = dead_job.conversation_id
    where conversation.owner = 'bot' and coalesce(conversation.owner_since <= dead_job.started_at, true)
    on conflict (reply_to) where reply_to is not null do nothing
    returning id, conversation_id, chatbot_id, channel
), replies as (
    select dead_job.customer_id, message_id, last_error, fallback_hands_over, fallback_reply.* from fallback_reply, dead_job
)
select (
    select coalesce(jsonb_agg(ticket), '[]') from replies, jsonb_array_elements(
        case when fallback_hands_over then hand_over_v1(conversation_id, 'provider_down', message_id, p_tells => false) end) ticket
) || job_close_failed_v1(:job_id,
    (select coalesce(jsonb_agg(outgoing_job_v1(customer_id, id, conversation_id, channel)), '[]') from replies),
    (select coalesce(jsonb_agg(message_event_v2('message.fallback', customer_id, chatbot_id, conversation_id, channel, id,
        jsonb_build_object('reply_to', message_id, 'error', last_error))), '[]') from replies)) as tickets
