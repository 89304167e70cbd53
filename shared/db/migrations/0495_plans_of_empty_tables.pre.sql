-- Both read what one conversation or key has, also by a plan that was made while the tables were empty.
create or replace function conversation_contact() returns trigger language plpgsql as $$
declare
    v_family     text := contact_family_v1(new.channel);
    v_name       text := contact_name_v1(new.channel, new.external_user_id);
    v_contact_id bigint;
begin
    insert into contact_identity (chatbot_id, family, name, contact_id) values (new.chatbot_id, v_family, v_name, new.contact_id)
    on conflict do nothing;
    if found then
        insert into contact (id, chatbot_id, name) values (new.contact_id, new.chatbot_id, (
            -- By conversation first: a plan made on an empty table might read all messages of users.
            select left(metadata ->> 'profile_name', 200) from (
                select id, role, metadata from message where conversation_id = new.id offset 0) said
            where role = 'user' and metadata ->> 'profile_name' <> '' order by id desc limit 1));
        return null;
    end if;
    select contact_id into v_contact_id from contact_identity
    where chatbot_id = new.chatbot_id and family = v_family and name = v_name;
    if exists (select from conversation where contact_id = v_contact_id and channel = new.channel) then
        if current_setting('switchboard.resolves_names', true) = 'on' then
            raise exception 'conversation % was merged meanwhile', new.id using errcode = '40001';
        end if;
        v_contact_id := null;
    end if;
    update conversation set contact_id = v_contact_id where id = new.id;
    return null;
end $$;

create or replace function job_unhold_next(p_queue text, p_keys text[]) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    with next_jobs as materialized (
        -- Not one that an operator deleted in line: its dead letter may be under way, and closes it.
        select (select id from job where queue = p_queue and ordering_key = key and closed_at is null and held
                                     and state <> 'failed' order by id limit 1) as id
        from unnest(p_keys) key
        -- Not `exists`: PostgreSQL may join by the queue alone, and read all of its jobs for each key.
        where (select true from job where queue = p_queue and ordering_key = key and closed_at is null and not held) is null
    ), unheld_jobs as (
        update job j set held = false where j.id = any (array(select id from next_jobs)) returning job_ticket(j) as ticket
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from unheld_jobs;
    return v_tickets;
end $$;
