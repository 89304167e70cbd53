-- When an endpoint got another URL: 410 of a call that had begun before says nothing about the new one.
alter table webhook_endpoint add column url_changed_at timestamptz;
