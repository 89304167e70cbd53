-- Test chats of the desk are no customers: the inbox's lists, its notices and the open questions leave them out. The column rewrites the
-- table, which waits meanwhile: some 20 seconds for a million conversations.
alter table conversation add column is_test boolean not null
    generated always as (channel = 'widget' and starts_with(external_user_id, 'w_test-')) stored;
create index conversation_list_waiting_idx on conversation (chatbot_id, handed_over_at) where handed_over_at is not null and not is_test;
create index conversation_list_idx on conversation (chatbot_id, owner, active_at desc, id desc) where not is_test;
delete from knowledge_gap using message join conversation on conversation.id = message.conversation_id
where knowledge_gap.message_id = message.id and conversation.is_test and knowledge_gap.closed_at is null;
