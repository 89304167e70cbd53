-- The lists of the last release.
drop index conversation_waiting_idx;
drop index conversation_inbox_idx;
