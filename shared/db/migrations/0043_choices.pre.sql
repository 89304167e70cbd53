-- What a customer types in answer to choices is understood.

-- The choice of a reply (data.choices) that a text names: by its title, or by its number, as in "2", "2." or "(2)". Null: none.
create function choice_named_v1(p_choices jsonb, p_text text) returns jsonb language sql immutable parallel safe as $$
    select choice from jsonb_array_elements(p_choices) with ordinality as choices(choice, number),
        (select lower(btrim(regexp_replace(p_text, '\s+', ' ', 'g'), ' .!')) as words) said
    where lower(choice ->> 'title') in (words, words || '.', words || '!')
        or (regexp_match(words, '^[(#]?0?(\d{1,2})[).:]*$'))[1]::integer = number
    order by lower(choice ->> 'title') = words desc, number limit 1
$$;

-- A reply's choices as lines, as a model reads them and as channels without buttons show them (shared/channels/choices.py).
create function choice_lines_v1(p_choices jsonb) returns text language sql immutable parallel safe as $$
    select string_agg(E'\n' || number || '. ' || (choice ->> 'title'), '' order by number)
    from jsonb_array_elements(p_choices) with ordinality as choices(choice, number)
$$;

-- A short text that names a choice of the reply before it is that choice; what was typed is kept beside it.
create function message_choice() returns trigger language plpgsql as $$
declare
    v_choice jsonb;
begin
    select choice_named_v1(data -> 'choices', new.content) into v_choice
    from (select role, status, data from (
            select id, role, status, data from message where conversation_id = new.conversation_id order by id desc limit 20) newest
          where role <> 'user' and status not in ('FAILED', 'SUPERSEDED') order by id desc limit 1) reply
    where data ? 'choices';
    if v_choice is not null then
        new.kind := 'choice';
        new.data := new.data || jsonb_build_object('choice', v_choice || jsonb_build_object('typed', new.content));
        new.content := v_choice ->> 'title';
    end if;
    return new;
end $$;
-- WhatsApp Cloud has buttons, and says what was tapped; there only numbers are looked at.
create trigger message_choice before insert on message for each row
    when (new.role = 'user' and new.kind = 'text' and length(new.content) <= 64
          and (new.channel <> 'whatsapp_cloud' or new.content ~ '^\s*[(#]?\d'))
    execute function message_choice();
