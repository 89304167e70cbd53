-- Rare kinds of audit rows are found without reading all others.
create function audit_kind_v1(p_action text) returns text language sql immutable parallel safe as $$
    select split_part(p_action, '.', 1)
$$;
create index audit_entry_kind_idx on audit_entry (audit_kind_v1(action), id);
create index audit_entry_customer_kind_idx on audit_entry (customer_id, audit_kind_v1(action), id);
