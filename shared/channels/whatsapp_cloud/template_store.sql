-- Templates of WhatsApp business accounts (shared/channels/whatsapp_cloud/template_store.py).

-- name: claim_due(batch, fresh, least, per_page, page, failed)
-- The accounts whose list is to be read now, each with the token of one of its numbers. Who claims one has it to itself for the
-- pause, which is longer the more pages it has. Wanted lists (never read, or out of date) come first.
with due_businesses as (
    select business.waba_id from whatsapp_business business
    where (templates_synced_at is null or templates_synced_at < now() - make_interval(secs => :fresh))
      and (templates_tried_at is null or templates_tried_at < now() - make_interval(secs => greatest(
          case when templates_error is null then :least::float8 else :failed end, :per_page * (1 + (
              select count(*) from whatsapp_template template where template.waba_id = business.waba_id) / :page))))
      and exists (select from whatsapp_cloud_account account where account.waba_id = business.waba_id and account.active)
    order by templates_synced_at nulls first limit :batch for update skip locked
), claimed_businesses as (
    update whatsapp_business business set templates_tried_at = now() from due_businesses
    where business.waba_id = due_businesses.waba_id returning business.waba_id
)
select waba_id, (select access_token from whatsapp_cloud_account account
    where account.waba_id = claimed_businesses.waba_id and account.active order by account.id desc limit 1) as access_token
from claimed_businesses

-- name: store(waba_id, templates)
-- The whole list: what is not on it any more is gone. Returns the tickets of the events.
with input as materialized (
    select * from jsonb_to_recordset(:templates::jsonb) as i(provider_id text, name text, language text, status text, category text,
        quality text, reason text, components jsonb)
), decided_templates as materialized (
    select input.name, input.language, input.status, input.reason
    from input join whatsapp_template template on template.waba_id = :waba_id and template.name = input.name
        and template.language = input.language and template.status <> input.status
), gone_templates as (
    delete from whatsapp_template template where template.waba_id = :waba_id
        and not exists (select from input where input.name = template.name and input.language = template.language)
    returning name, language, 'DELETED' as status, null as reason
), stored_templates as (
    insert into whatsapp_template as template (waba_id, provider_id, name, language, status, category, quality, reason, components)
    select :waba_id, provider_id, name, language, status, category, quality, reason, components from input
    on conflict (waba_id, name, language) do update set provider_id = excluded.provider_id, status = excluded.status,
        category = excluded.category, quality = excluded.quality, reason = excluded.reason, components = excluded.components,
        updated_at = now()
), synced_business as (
    update whatsapp_business set templates_synced_at = now(), templates_tried_at = now(), templates_error = null
    where waba_id = :waba_id
)
select template_events_add_v1(:waba_id, coalesce(jsonb_agg(to_jsonb(changes)), '[]')) as tickets
from (select * from decided_templates union all select * from gone_templates) changes

-- name: apply_update(waba_id, provider_id, name, language, status, quality, category, reason)
-- By Meta's id, or by name and language, for a webhook may lack either. DELETED: it is gone. Returns whether there is one, and the
-- tickets of an event if its status is another one, or nobody knew it.
with known_templates as materialized (
    select name, language, status from whatsapp_template where waba_id = :waba_id
      and (provider_id = :provider_id or (name = :name and language = :language))
), updated_templates as (
    update whatsapp_template set status = coalesce(:status, status), quality = coalesce(:quality, quality),
        category = coalesce(:category, category), reason = case when :status::text is null then reason else :reason end,
        updated_at = now()
    where waba_id = :waba_id
      and (provider_id = :provider_id or (name = :name and language = :language)) and :status::text is distinct from 'DELETED'
    returning id
), deleted_templates as (
    delete from whatsapp_template where waba_id = :waba_id
      and (provider_id = :provider_id or (name = :name and language = :language)) and :status::text = 'DELETED'
    returning id
)
select exists (select from updated_templates) or exists (select from deleted_templates) as is_known,
    template_events_add_v1(:waba_id, (
        select coalesce(jsonb_agg(jsonb_build_object('name', coalesce(known.name, :name), 'language', coalesce(known.language, :language),
            'status', :status::text, 'reason', :reason::text)), '[]')
        from (select) once left join known_templates known on true
        where known.status is distinct from :status and coalesce(known.name, :name) is not null and :status::text is not null)) as tickets
