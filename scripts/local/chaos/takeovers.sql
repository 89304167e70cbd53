-- What the scenario `takeovers` keeps beside the system: who owned a conversation when a reply of the bot's was claimed.

-- name: keep_history
-- Owners change, and replies are claimed and shown, under the lock of their conversation's row: a row of the history is written
-- while that is held, so the clock's order is that of the commits. What the system itself remembers and decides by is not asked.
create table takeover_history (
    at              timestamptz not null default clock_timestamp(),
    conversation_id bigint not null,
    -- Of a conversation that changed hands.
    owner           text,
    owner_since     timestamptz,
    handed_over_at  timestamptz,
    -- Of a reply that was claimed for sending, or shown in the widget.
    message_id      bigint
);
create function keep_owner() returns trigger language plpgsql as $$
begin
    insert into takeover_history (conversation_id, owner, owner_since, handed_over_at)
    values (new.id, new.owner, new.owner_since, new.handed_over_at);
    return null;
end $$;
create trigger keep_owner after update on conversation for each row
when (old.owner is distinct from new.owner) execute function keep_owner();
create function keep_claim() returns trigger language plpgsql as $$
begin
    insert into takeover_history (conversation_id, message_id) select conversation_id, id from message where id = new.message_id;
    return null;
end $$;
create trigger keep_claim after update on job for each row
when (new.claims > old.claims and right(new.queue, 5) = '-send') execute function keep_claim();
create function keep_shown() returns trigger language plpgsql as $$
begin
    insert into takeover_history (conversation_id, message_id) values (new.conversation_id, new.id);
    return null;
end $$;
create trigger keep_shown after update on message for each row
when (new.channel = 'widget' and new.role = 'assistant' and old.status = 'PENDING' and new.status = 'SENT')
execute function keep_shown();

-- name: claims
-- Each claim of a bot's reply in its order, and whether it was the bot's to answer then: nobody had taken the conversation over since
-- the reply was written, or the reply is that with which the bot itself handed it over.
select message.id as message_id, message.channel,
    coalesce(message.created_at = last_change.handed_over_at, false)
        or coalesce(last_change.owner = 'bot' and message.created_at >= last_change.owner_since, last_change.owner is null)
        as is_bots_turn,
    exists (select from job where job.message_id = message.id and outcome_unknown_since is not null) as is_ambiguous
from takeover_history claim join message on message.id = claim.message_id and message.role = 'assistant'
left join lateral (
    select owner, owner_since, handed_over_at from takeover_history change
    where change.conversation_id = claim.conversation_id and change.owner is not null and change.at < claim.at
    order by change.at desc limit 1) last_change on true
order by claim.at

-- name: about_to_leave
-- One of the bot's conversations in which a reply is being written or is on its way.
select id, chatbot_id, channel, external_user_id from conversation where owner = 'bot' and id = any (array(
    select message.conversation_id from job join message on message.id = job.message_id
    where job.closed_at is null and job.id > 0 and (job.queue in ('ai-processing', 'outgoing-messages') or right(job.queue, 5) = '-send')))
order by random() limit 1

-- name: claimed_before(chat_id, at)
-- The last reply to a chat of Telegram's that was claimed for sending before then.
select claim.message_id from takeover_history claim join conversation on conversation.id = claim.conversation_id
where conversation.channel = 'telegram' and conversation.external_user_id = :chat_id
  and claim.message_id is not null and claim.at < to_timestamp(:at)
order by claim.at desc limit 1
