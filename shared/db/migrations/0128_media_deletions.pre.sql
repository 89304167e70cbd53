-- Bytes are deleted with no transaction open, so that a slow storage holds no connection; the row says so meanwhile.
alter table media_file add column deleting_at timestamptz;
