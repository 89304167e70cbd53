-- Knowledge bases that have vectors. The vectors themselves are in vectors.sql, which applies where the database has pgvector.

alter table knowledge_base
    add column embedding_model text check (embedding_model <> ''),
    add column embedded_model text,
    add column embedding_error text;

-- Adds the job that makes the vectors a base lacks (workers/knowledge_embed.py), unless one has not begun and will see this
-- change as well: its row is locked, so nobody claims it before this transaction is committed. Nobody tells Redis; the sweep does.
create function knowledge_embed_later(p_knowledge_base_id bigint) returns void language plpgsql as $$
declare
    v_key      text := 'base:' || p_knowledge_base_id;
    v_customer bigint;
begin
    if current_setting('switchboard.embed_later', true) = v_key then
        return; -- asked for in this transaction already
    end if;
    select customer_id into v_customer from knowledge_base
    where id = p_knowledge_base_id and coalesce(embedding_model, embedded_model) is not null;
    if not found then
        return;
    end if;
    perform job_lock('knowledge-embedding', array[v_key]);
    perform from job where queue = 'knowledge-embedding' and ordering_key = v_key and closed_at is null and attempts = 0
        and state in ('waiting', 'delayed') limit 1 for update;
    if not found then
        perform job_add_v1(jsonb_build_array(jsonb_build_object('queue', 'knowledge-embedding', 'ordering_key', v_key,
            'customer_id', v_customer, 'payload', jsonb_build_object('knowledge_base_id', p_knowledge_base_id))));
    end if;
    perform set_config('switchboard.embed_later', v_key, true);
end $$;

create function knowledge_item_embed_later() returns trigger language plpgsql as $$
begin
    perform knowledge_embed_later(new.knowledge_base_id);
    return null;
end $$;
-- At the commit: an import does not keep others waiting while it inserts.
create constraint trigger knowledge_item_embed_later after insert or update of knowledge_base_id, title, content on knowledge_item
    deferrable initially deferred for each row execute function knowledge_item_embed_later();

create function knowledge_base_embed_later() returns trigger language plpgsql as $$
begin
    perform knowledge_embed_later(new.id);
    return null;
end $$;
-- Also if it names the same model again: that is how an owner tries once more after an error.
create trigger knowledge_base_embed_later after update of embedding_model on knowledge_base
    for each row execute function knowledge_base_embed_later();
