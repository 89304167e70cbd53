-- name: load(media_id)
-- The file as it is kept, whose it is, who transcribes for its chatbot, and what the same file said before: one that is forwarded,
-- or comes twice, is not paid for twice.
select media.kind, media.mime, media.filename, media.text, media.message_id, media.customer_id, chatbot.id as chatbot_id,
    chatbot.transcription_model, chatbot.transcription_base_url, chatbot.transcription_api_key, chatbot.transcription_language,
    chatbot.can_see, exists (select from budget where budget.customer_id = media.customer_id) as has_budget,
    (select same.text from media same where same.customer_id = media.customer_id and same.sha256 = media.sha256
        and same.state = 'stored' and same.text <> '' and same.id <> media.id
        and (same.kind = 'document') = (media.kind = 'document') limit 1) as known_text
from media join message on message.id = media.message_id join chatbot on chatbot.id = message.chatbot_id
where media.id = :media_id

-- name: keep_words(media_id, text, is_speech, error, model, seconds, booking)
-- What a file says, "" for nothing, and the message that came with it: speech is its content from now on, as if it had been typed.
-- In one statement with what it cost, and once: nothing that is paid for can be lost behind it.
with kept_media as (
    update media set text = :text, error = :error where id = :media_id and text is null
    returning message_id, kind
), understood_message as (
    update message set metadata = (message.metadata - 'unsupported')
            || jsonb_build_object('attachment', coalesce(message.metadata ->> 'unsupported', message.metadata ->> 'attachment', kept_media.kind))
            || case when :is_speech then jsonb_strip_nulls(jsonb_build_object('transcription',
                jsonb_build_object('model', :model::text, 'seconds', :seconds::integer))) else '{}' end,
        content = case when not :is_speech then content when message.metadata ? 'unsupported' then :text
            else content || E'\n' || :text end,
        updated_at = clock_timestamp()
    from kept_media where message.id = kept_media.message_id and :text <> ''
)
select usage_book_v2(jsonb_build_array(:booking::jsonb)) as tickets from kept_media where :booking::jsonb is not null

-- name: keep_seen(media_id)
-- A picture needs no words: the model that answers is shown it.
update message set metadata = (message.metadata - 'unsupported')
    || jsonb_build_object('attachment', message.metadata ->> 'unsupported'), updated_at = clock_timestamp()
from media where media.id = :media_id and message.id = media.message_id and message.metadata ? 'unsupported'

-- name: keep_problem(media_id, error)
-- Why it is not understood yet; the job keeps our words only.
update media set error = :error where id = :media_id and text is null
