-- By itself: it reads the whole table, and locks nobody out meanwhile.
alter table usage_log validate constraint usage_log_message_id_fkey;
