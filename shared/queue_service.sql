-- name: accept_messages
-- In the order in which job_lock goes through ordering keys: two processes never wait for each other.
select n, message_accept_v1(chatbot_id, channel, external_user_id, external_id, payload) as accepted
from (select input.n, input.payload, message.*
      from jsonb_to_recordset($1) as input(n integer, payload jsonb), jsonb_to_record(input.payload)
          as message(chatbot_id bigint, channel text, external_user_id text, external_id text)
      order by hashtextextended('incoming-messages ' || chatbot_id || ':' || channel || ':' || external_user_id, 0), n) inbound
