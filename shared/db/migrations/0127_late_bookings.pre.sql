-- As usage_book_v1, for calls that no claim fences: what is booked so late that the sweep has counted its reservation as spent does
-- not count again. Reservations come first, as in the sweep, so neither waits for the other while it has the budgets.
create function usage_book_v2(p_bookings jsonb) returns jsonb language plpgsql as $$
declare
    v_ended uuid[];
begin
    with ended as (
        delete from budget_reservation where id = any (array(
            select (call ->> 'reservation')::uuid from jsonb_array_elements(p_bookings) item, jsonb_array_elements(item -> 'calls') call))
        returning id
    )
    select coalesce(array_agg(id), '{}') into v_ended from ended;
    return usage_book_v1((
        select jsonb_agg(item || jsonb_build_object('calls', (
            select coalesce(jsonb_agg(call), '[]') from jsonb_array_elements(item -> 'calls') call
            where call ->> 'reservation' is null or (call ->> 'reservation')::uuid = any (v_ended))))
        from jsonb_array_elements(p_bookings) item));
end $$;
