-- name: asked(conversation_ids)
-- Items whose titles were asked in these conversations, and who else asked the same in another one.
select item.id, item.content, other.question as other_question, other.conversation_id as other_conversation
from knowledge_item item left join lateral (
    select left(gap.question, 500) as question, message.conversation_id
    from knowledge_gap gap join message on message.id = gap.message_id
    where gap.knowledge_item_id = item.id and not message.conversation_id = any (:conversation_ids::bigint[])
    order by gap.id desc limit 1) other on true
where item.asked_in = any (:conversation_ids::bigint[])
order by item.id for no key update of item
