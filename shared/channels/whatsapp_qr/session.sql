-- name: ask_for_lids_again(session_id)
-- A session is connected again, and its phone may know by now whose the @lids are that were given up (lids.py): each has one turn.
update contact_identity identity set lookup_at = now()
from whatsapp_qr_session session
where session.id = :session_id and session.state <> 'connected' and identity.chatbot_id = session.chatbot_id
  and family = contact_family_v1('whatsapp_qr') and name like '%@lid' and lookups > 0 and lookup_at is null and left_at is null
  and not exists (
      select from contact_identity other where other.contact_id = identity.contact_id
          and other.family = identity.family and other.name ~ '^[0-9]+$')
