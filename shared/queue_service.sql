-- name: accept_messages
-- In the order in which job_lock goes through ordering keys: two processes never wait for each other.
select n, message_accept_v1(chatbot_id, channel, external_user_id, external_id, payload) as accepted
from (select input.n, input.payload, message.*
      from jsonb_to_recordset($1) as input(n integer, payload jsonb), jsonb_to_record(input.payload)
          as message(chatbot_id bigint, channel text, external_user_id text, external_id text)
      order by hashtextextended('incoming-messages ' || chatbot_id || ':' || channel || ':' || external_user_id, 0), n) inbound

-- name: add_delivery(endpoint_id, event, data)
with new_event as (
    insert into webhook_event (customer_id, endpoint_id, event, payload)
    select customer_id, id, :event, :data from webhook_endpoint where id = :endpoint_id and active
    returning id, customer_id
)
select id, job_add_v1(jsonb_build_array(delivery_job_v1(customer_id, id))) as tickets from new_event

-- name: queue_stats()
select queue, state, count(*)::integer as jobs from job group by queue, state
