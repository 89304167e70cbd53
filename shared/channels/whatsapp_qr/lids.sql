-- name: claim_due(batch, pause)
-- @lids whose turn it is at WAHA sessions that are connected, as far as we know. Before anybody asks, they are put off by a pause, so
-- that a crash makes no loop. One whose contact has a phone number by now is not asked for any more.
with candidates as materialized (
    select identity.*, session.session_name, session.api_key
    from whatsapp_qr_session session cross join lateral (
        select chatbot_id, contact_id, family, name, lookups, lookup_at from contact_identity
        where chatbot_id = session.chatbot_id and family = contact_family_v1('whatsapp_qr') and name like '%@lid' and left_at is null
          and (lookups = 0 or lookup_at is not null) and coalesce(lookup_at, '-infinity') <= now()
        order by coalesce(lookup_at, '-infinity') limit :batch) identity
    where session.dialect = 'waha' and session.active and session.state <> 'disconnected'
    order by coalesce(lookup_at, '-infinity') limit :batch
), due_lids as materialized (
    select candidates.*, exists (
        select from contact_identity other where other.contact_id = candidates.contact_id
            and other.family = candidates.family and other.name ~ '^[0-9]+$') as is_known
    from candidates join contact_identity identity on identity.chatbot_id = candidates.chatbot_id
        and identity.family = candidates.family and identity.name = candidates.name and identity.lookups = candidates.lookups
        and identity.lookup_at is not distinct from candidates.lookup_at
    for update of identity skip locked
)
update contact_identity identity set lookups = identity.lookups + is_known::integer,
    lookup_at = case when not is_known then now() + make_interval(secs => :pause) end
from due_lids due
where identity.chatbot_id = due.chatbot_id and identity.family = due.family and identity.name = due.name
returning due.*

-- name: count_turn(chatbot_id, family, name, lookups, pauses)
-- The gateway has answered: the next turn comes after the next of the pauses, and none after the last.
update contact_identity set lookups = lookups + 1,
    lookup_at = now() + make_interval(secs => (:pauses::float8[])[lookups + 1])
where chatbot_id = :chatbot_id and family = :family and name = :name and lookups = :lookups
