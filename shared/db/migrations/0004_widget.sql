-- The live widget: what a page may see of a conversation is numbered in the order in which it was committed, and whoever
-- has the page open is told. Both columns are added without rewriting their tables; messages from before have no number.

alter table conversation add column revision bigint not null default 0;
alter table message add column revision bigint;

-- The conversation's row is locked from here to the commit, so numbers become visible in their order: a page that has seen
-- 7 never misses a 6 that was committed later. The notification names the visitor by a hash, and says nothing else.
create function widget_changed() returns trigger language plpgsql as $$
declare
    v_talk conversation;
begin
    update conversation set revision = revision + 1 where id = new.conversation_id returning * into v_talk;
    new.revision := v_talk.revision;
    perform pg_notify('widget', md5(v_talk.chatbot_id || ':' || v_talk.external_user_id));
    return new;
end $$;

-- A reply that is still PENDING is nobody's news.
create trigger message_widget_new before insert on message
    for each row when (new.channel = 'widget' and new.status <> 'PENDING') execute function widget_changed();
create trigger message_widget_status before update of status on message
    for each row when (new.channel = 'widget' and new.status <> old.status) execute function widget_changed();
