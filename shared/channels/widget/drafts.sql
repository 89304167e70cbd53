-- name: mark_open
-- Pages that are open now: their conversations' replies are shown while they are written.
with input as (
    select * from jsonb_to_recordset($1) as i(n integer, topic text, seconds float8)
)
insert into open_page as page (topic, open_until)
select topic, clock_timestamp() + make_interval(secs => max(seconds)) from input group by topic order by topic
on conflict (topic) do update set open_until = excluded.open_until

-- name: write_drafts
-- The text of replies that are being written, as far as it has come. A row for each job that is still its claim's, which says
-- whether there is a point in going on; the pages hear of it by the notification that also announces messages. What was begun before
-- a person came never leaves, also once the bot has the conversation back (save_reply in workers/ai.sql): a draft that there is no
-- point in is taken back.
with input as (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, message_id bigint, text text,
        claimed_at timestamptz)
), current_answers as materialized (
    select input.n, input.text, question.id as reply_to, conversation.id as conversation_id, conversation.chatbot_id,
        conversation.external_user_id, conversation.id is null as is_gone,
        conversation.owner <> 'bot' or coalesce(conversation.owner_since > input.claimed_at, false) as is_taken_over,
        coalesce(braked_until > now(), false) as is_braked
    from input join job on job.id = input.job_id and job.state = 'active' and job.claims = input.claim
    left join message question on question.id = input.message_id
    left join conversation on conversation.id = question.conversation_id
), new_drafts as (
    insert into reply_draft as draft (conversation_id, reply_to, text)
    select conversation_id, reply_to, text from current_answers where not is_gone and not is_braked and not is_taken_over order by conversation_id
    on conflict (conversation_id) do update
        set reply_to = excluded.reply_to, text = excluded.text, updated_at = excluded.updated_at
), unwanted_drafts as (
    delete from reply_draft draft using current_answers answer
    where draft.conversation_id = answer.conversation_id and draft.reply_to = answer.reply_to and (is_braked or is_taken_over)
)
select n, is_gone, is_braked, is_taken_over,
    case when not is_gone then pg_notify('widget', md5(chatbot_id || ':' || external_user_id)) end as notification,
    set_config('synchronous_commit', 'off', true) as commits_without_waiting
from current_answers

-- name: prune_drafts()
-- Drafts that nobody goes on with: their job ended without a reply, or has one. Deleting them announces nothing; a page asks
-- within seconds.
delete from reply_draft where updated_at < now() - interval '1 minute' and not exists (
    select from job where job.message_id = reply_draft.reply_to and queue = 'ai-processing' and closed_at is null)
returning conversation_id

-- name: prune_open_pages()
delete from open_page where open_until < now()
