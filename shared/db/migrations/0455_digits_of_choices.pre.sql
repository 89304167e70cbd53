-- A choice's number is understood in the digits of other scripts, and costs no message where the database takes them for digits.
create function choice_named_v2(p_choices jsonb, p_text text) returns jsonb language sql immutable parallel safe as $$
    select choice from jsonb_array_elements(p_choices) with ordinality as choices(choice, number),
        (select lower(btrim(regexp_replace(p_text, '\s+', ' ', 'g'), ' .!')) as words) said,
        lateral (select translate(words, '٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙', '0123456789012345678901234567890123456789') as as_number) typed
    where lower(choice ->> 'title') in (words, words || '.', words || '!')
        -- Not `\d`: by some collations that is any script's digit, which is no integer to PostgreSQL.
        or (regexp_match(as_number, '^[(#]?0?([0-9]{1,2})[).:]*$'))[1]::integer = number
    order by lower(choice ->> 'title') = words desc, number limit 1
$$;

create or replace function message_choice() returns trigger language plpgsql as $$
declare
    v_choice jsonb;
begin
    select choice_named_v2(data -> 'choices', new.content) into v_choice
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
create or replace trigger message_choice before insert on message for each row
    when (new.role = 'user' and new.kind = 'text' and length(new.content) <= 64
          and (new.channel <> 'whatsapp_cloud' or new.content ~ '^\s*[(#]?[0-9٠-٩۰-۹०-९๐-๙]'))
    execute function message_choice();
