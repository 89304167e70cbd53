-- The words of the items that are there already. One transaction, which may take minutes (4 ms an item) and keeps nobody from
-- reading: workers of the last release search by the column `vector`, which stays, until this is committed and new ones start.
-- An item that is changed meanwhile waits for it; what is added has its words from the trigger of the file before.

with items as materialized (
    select id, knowledge_base_id, language, title, content from knowledge_item
    where is_active and not exists (select from knowledge_word where knowledge_item_id = knowledge_item.id)
    for share of knowledge_item
)
insert into knowledge_word (knowledge_base_id, word, knowledge_item_id, weight)
select items.knowledge_base_id, words.word, items.id, words.weight
from items, knowledge_item_words(items.language, items.title, items.content) words
on conflict do nothing;

update knowledge_base set languages = array(
    select distinct language from knowledge_item where knowledge_base_id = knowledge_base.id order by language)
where exists (select from knowledge_item where knowledge_base_id = knowledge_base.id);
