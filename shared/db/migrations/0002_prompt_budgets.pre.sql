-- Prompts are bounded: the search returns no more of an item than a prompt takes.

-- The items of one base that fit a question, best first: [{id, title, content}]. The question's words are joined by "or", since
-- visitors do not write search expressions. At most 5 items; an item that ranks below a tenth of the best only shares a common
-- word with the question. Only the first 1,000 characters of a question are searched for, and of each item only the first
-- `p_characters` are returned.
create function knowledge_search_v2(p_knowledge_base_id bigint, p_language text, p_question text, p_characters integer)
returns jsonb language plpgsql stable as $$
begin
    return (
        with question as materialized (
            select replace(plainto_tsquery(p_language::regconfig, left(p_question, 1000))::text, '&', '|')::tsquery as words
        ), ranked_items as (
            select item.id, item.title, item.content, ts_rank(item.vector, question.words) as rank
            from knowledge_item item, question
            where item.knowledge_base_id = p_knowledge_base_id and item.vector @@ question.words
            order by rank desc, item.id limit 5
        )
        -- Cut here, where only the best are left: PostgreSQL then reads no other item's text.
        select jsonb_agg(jsonb_build_object(
            'id', id, 'title', left(title, 500), 'content', left(content, p_characters)) order by rank desc, id)
        from ranked_items where rank >= 0.1 * (select max(rank) from ranked_items));
end $$;
