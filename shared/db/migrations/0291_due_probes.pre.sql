-- The sweep looks for accounts that may be tried.
create index channel_health_probe_idx on channel_health (probe_at) where probe_at is not null;
