-- An item whose title is a customer's question, and in which conversation that was asked: the words go with the person.
alter table knowledge_item add column asked_in bigint;
create index knowledge_item_asked_idx on knowledge_item (asked_in) where asked_in is not null;

-- Of the items that answer questions which are still known.
update knowledge_item item set asked_in = message.conversation_id
from knowledge_gap gap join message on message.id = gap.message_id
where gap.knowledge_item_id = item.id and item.title = left(gap.question, 500);
