-- What a business stores is bounded as well. Rows that are longer already stay, and can be changed only to something shorter.

drop function knowledge_search_v1;

alter table knowledge_item
    drop constraint knowledge_item_title_check, drop constraint knowledge_item_content_check,
    add constraint knowledge_item_title_check check (title <> '' and length(title) <= 500) not valid,
    add constraint knowledge_item_content_check check (content <> '' and length(content) <= 50000) not valid;
alter table chatbot add constraint chatbot_system_prompt_check check (length(system_prompt) <= 20000) not valid;

do $$
begin
    alter table knowledge_item validate constraint knowledge_item_title_check;
    alter table knowledge_item validate constraint knowledge_item_content_check;
    alter table chatbot validate constraint chatbot_system_prompt_check;
exception when check_violation then
    raise warning 'Some knowledge items or system prompts are longer than new ones may be; prompts use their beginning.';
end $$;
