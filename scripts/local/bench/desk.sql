-- name: ids(customer_id)
-- What the addresses name, of one customer.
select customer.id as customer, chatbot.id as chatbot, chatbot.knowledge_base_id as base, newest.id as conversation,
    longest.conversation_id as longest, message.id as message, message.external_id, message.id + 0 as order,
    (select max(id) from knowledge_item where knowledge_base_id = chatbot.knowledge_base_id) as item,
    (select max(source.id) from knowledge_source source where source.knowledge_base_id = chatbot.knowledge_base_id) as source,
    (select min(id) from webhook_endpoint where customer_id = customer.id) as webhook,
    (select max(id) from bulk_action where kind = 'replay') as replay
from customer
    join lateral (select * from chatbot where customer_id = customer.id order by id limit 1) chatbot on true
    join lateral (select id from conversation where chatbot_id = chatbot.id order by active_at desc limit 1) newest on true
    join lateral (
        select conversation_id from message join conversation on conversation.id = conversation_id
        where conversation.chatbot_id = chatbot.id group by 1 order by count(*) desc limit 1) longest on true
    join lateral (
        select id, external_id from message where conversation_id = longest.conversation_id and role = 'user' and external_id is not null
        order by id limit 1 offset 4) message on true
where customer.id = :customer_id
