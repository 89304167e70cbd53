-- name: replay(ids, unknown, by, action_id)
-- One after the other, in their order: those of a conversation stand in one line.
select dead_letter_replay_v4(id, :unknown, :by, :action_id) as result
from (select id from unnest(:ids::bigint[]) id order by id) letters

-- name: results(action_id)
select case
        when letter.state = 'open' then 'failed'
        when letter.queue = 'webhook-delivery' then case event.status when 'DELIVERED' then 'sent' when 'FAILED' then 'failed' else 'waiting' end
        when letter.queue in ('incoming-messages', 'media-fetch') then case when message.id is null then 'waiting' else 'sent' end
        else case
            when reply.status = 'PENDING' or reply.id is null then 'waiting'
            when reply.status in ('SENT', 'DELIVERED', 'READ') then 'sent'
            when reply.status = 'SUPERSEDED' then 'superseded' else 'failed' end
    end as result, count(*) as count
from dead_letter letter
left join webhook_event event on event.id = letter.webhook_event_id
left join message on message.id = letter.message_id
left join message answer on answer.reply_to = letter.message_id and letter.queue = 'ai-processing'
left join lateral (
    select case when letter.queue = 'ai-processing' then answer.id else message.id end as id,
        case when letter.queue = 'ai-processing' then answer.status else message.status end as status) reply on true
where letter.bulk_action_id = :action_id and letter.state in ('open', 'replayed')
group by 1
