-- Why a message failed, in a code of ours (shared/channels/outcomes.py).
alter table parked_status add column error_code text;
