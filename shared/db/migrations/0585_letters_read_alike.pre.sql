-- How a text is read: Greek with and without accents and ς, ё as е, what is written with combining marks, Vietnamese, vowel points
-- of Arabic and Hebrew, Persian letters on Arabic keyboards, nukta, and words with soft hyphens in them.

-- As it was, to tell which items are read otherwise now.
create function knowledge_fold_before(p_text text) returns text language sql immutable parallel safe as $$
    select translate(replace(replace(replace(lower(normalize(p_text, nfkc)), 'ß', 'ss'), 'œ', 'oe'), 'æ', 'ae'),
        'àáâãäåāăąçćčèéêëēęěğìíîïīıłñńňòóôõöøőřśşšșţťțùúûüūůűýÿźżž-–/_.@=&?#''’٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙',
        'aaaaaaaaaccceeeeeeegiiiiiilnnnooooooorsssstttuuuuuuuyyzzz            0123456789012345678901234567890123456789')
$$;

-- A text as the search reads it: in lower case, without the marks on letters that people leave out and what nobody sees, with the
-- digits of Europe, and nothing between two words but a blank. An accent is one of its own here, behind its letter (nfkd): it goes, but
-- for й, ї and such, which are letters of the Cyrillic alphabet. Arabic keeps its letters: its stemmer knows how each is written.
create or replace function knowledge_fold(p_text text) returns text language sql immutable parallel safe as $$
    select translate(case when octet_length(p_text) = length(p_text) then lower(p_text) else
            replace(replace(replace(replace(replace(regexp_replace(normalize(regexp_replace(lower(normalize(p_text, nfkd)),
                '([^\u0400-\u04ff]|е)[\u0300-\u036f]+|([аиоуыэюяі])[\u0300\u0301]+', '\1\2', 'g'), nfc),
                -- soft hyphens and signs without width; points of Hebrew; the bar that lengthens Arabic, and its vowels; nukta
                '[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7'
                    '\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u093c]', '', 'g'),
                'ß', 'ss'), 'œ', 'oe'), 'æ', 'ae'), 'þ', 'th'), U&'\0901', U&'\0902') -- चाँद is चांद
        end,
        'ςđðøłħŧıəیکʻʼ-–/_.@=&?#''’٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙',
        'σddolhtieيك              0123456789012345678901234567890123456789')
$$;

-- The words of the items that are read otherwise now. One transaction: nobody searches with one reading what was stored with the other,
-- by whatever release. It may take minutes (1 ms an item with a letter that ASCII lacks, 4 ms one that is read otherwise) and keeps nobody
-- from searching; an item that is changed meanwhile waits for it.
do $$
declare
    v_items bigint[];
begin
    select array_agg(id) into v_items from (
        select id from knowledge_item, lateral (select title || ' ' || content as text offset 0) item
        where is_active and octet_length(text) > length(text) and knowledge_fold_before(text) <> knowledge_fold(text)
        order by id for no key update of knowledge_item) changed_items;
    delete from knowledge_word where knowledge_item_id = any (v_items);
    insert into knowledge_word (knowledge_base_id, word, knowledge_item_id, weight)
    select item.knowledge_base_id, words.word, item.id, words.weight
    from knowledge_item item, knowledge_item_words(item.language, item.title, item.content) words where item.id = any (v_items);
end $$;

drop function knowledge_fold_before(text);
