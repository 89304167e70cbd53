-- A @lid is put off before its gateway is asked, and its turn is counted once that has answered: so 0 turns may have a time, too.
alter table contact_identity
    drop constraint contact_identity_lookup_check,
    add constraint contact_identity_lookup_check check (lookup_at is null or name like '%@lid') not valid;
alter table contact_identity validate constraint contact_identity_lookup_check;
