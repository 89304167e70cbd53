-- Every event about a test chat of the desk says so, also those that name no person.
create or replace function webhook_emit(p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_jobs jsonb;
begin
    with input as materialized ( -- numbered once, however many endpoints hear of it
        select customer_id, event, data || jsonb_build_object('sequence', nextval('event_sequence')) as data
        from jsonb_to_recordset(p_events) as i(customer_id bigint, event text, data jsonb)
    ), new_events as (
        insert into webhook_event (customer_id, endpoint_id, event, payload, held, position)
        select endpoint.customer_id, endpoint.id, input.event,
            case when input.data ->> 'channel' = 'widget' and (
                    select is_test from conversation where id = (input.data ->> 'conversation_id')::bigint)
                then input.data || '{"is_test": true}' else input.data end,
            endpoint.paused and endpoint.url is not null, case when endpoint.url is null then 0 end
        from input join webhook_endpoint endpoint on endpoint.customer_id = input.customer_id and endpoint.active
            and input.event = any (endpoint.events)
            and (endpoint.chatbots is null or coalesce((input.data ->> 'chatbot_id')::bigint = any (endpoint.chatbots), true))
            and (endpoint.channels is null or coalesce(input.data ->> 'channel' = any (endpoint.channels), true))
        order by input.data -> 'sequence'
        returning id, customer_id, held, position
    )
    select jsonb_agg(delivery_job_v1(customer_id, id) order by id) into v_jobs from new_events where not held and position is null;
    return case when v_jobs is null then '[]'::jsonb else job_add_v1(v_jobs) end;
end $$;
