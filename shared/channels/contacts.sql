-- name: learn(chatbot_id, channel, names, moved_to, marks)
-- Nobody who was erased is made a contact by that: only by a message, with all names that it tells (workers/incoming.sql).
select case when exists (select from tombstone where mark = any (:marks)) and not exists (
        select from contact_identity where chatbot_id = :chatbot_id and family = contact_family_v1(:channel)
            and name = any (array(select contact_name_v1(:channel, name) from unnest(:names::text[]) name)))
    then true else contact_learn_v1(:chatbot_id, :channel, :names::text[], :moved_to) end

-- name: is_erased(marks, chatbot_id, channel, names)
select exists (select from tombstone where mark = any (:marks)) and not exists (
    select from contact_identity where chatbot_id = :chatbot_id and family = contact_family_v1(:channel)
        and name = any (array(select contact_name_v1(:channel, name) from unnest(:names::text[]) name)))

-- name: settle(after, batch)
with unsettled_conversations as materialized (
    select id, chatbot_id, channel, external_user_id from conversation
    where contact_id is null and id > :after order by id limit :batch
)
select id, contact_learn_v1(chatbot_id, channel, array[external_user_id]) as is_settled
from unsettled_conversations order by id

-- name: forget_left(age)
delete from contact_identity where left_at < now() - make_interval(secs => :age) returning contact_id
