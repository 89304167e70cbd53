-- name: set_state(channel, chatbot_id, state, reason, detail, at, calls, pauses, pace, data, lifts, is_notice)
-- `lifts`: only where it is for one of these reasons as it is. `is_notice`: not where it cannot send. Decided under the row's lock: what
-- somebody else has found out at this moment counts.
with known as materialized (
    select state, reason from channel_health where channel = :channel and chatbot_id = :chatbot_id for update
)
select channel_set_state_v1(:channel, :chatbot_id, :state, :reason, :detail, least(:at::timestamptz, clock_timestamp()), :calls,
    :pauses::float8[], :pace, :data) as outcome
where (:lifts::text[] is null or exists (select from known where known.reason = any (:lifts)))
    and not (:is_notice and exists (select from known where channel_is_down_v1(known.state)))

-- name: slow(channel, chatbot_id, seconds)
-- The account sends too fast, or its provider cannot be reached: its replies wait until then.
insert into channel_health as health (chatbot_id, channel, since, slow_until)
select id, :channel, clock_timestamp(), clock_timestamp() + make_interval(secs => :seconds) from chatbot where id = :chatbot_id
on conflict (chatbot_id, channel) do update set slow_until = greatest(health.slow_until, excluded.slow_until)

-- name: take_probe(channel, chatbot_id, pauses)
-- One of those who ask may try whether the account is back. The call is counted before it is made: who dies with it has had it.
update channel_health set calls = calls + 1,
    probe_at = clock_timestamp() + make_interval(secs => (:pauses::float8[])[calls + 2])
where channel = :channel and chatbot_id = :chatbot_id and channel_is_down_v1(state) and probe_at <= clock_timestamp()
returning true as is_taken

-- name: hold_job(job_id, claim, channel, chatbot_id, reason, seconds, may_try)
-- Parks a job, unless its account is back by now: its row is locked, so that whoever brings it back waits for this, and releases
-- this job too. One of an account's jobs comes back when a probe is due: here and below one that is not behind another, as jobs are
-- after their conversation became a part of another one.
select job_park_v1(:job_id, :claim, channel_account_v1(:channel, :chatbot_id), case when has_scout or probe_at is null or not :may_try then :seconds
    else greatest(0, extract(epoch from probe_at - clock_timestamp())) end, :reason) as is_held
from (
    select probe_at, exists (
        select from job where waits_for = channel_account_v1(:channel, :chatbot_id) and closed_at is null and state = 'delayed' and not held
            and run_at <= health.probe_at + interval '1 second' and id <> :job_id) as has_scout -- two looks at the clock
    from channel_health health where channel = :channel and chatbot_id = :chatbot_id and channel_is_down_v1(state) for share of health
) down_account

-- name: retry(channel, chatbot_id)
-- Somebody believes that it is back: one of its replies tries it, now.
with down_account as (
    update channel_health set calls = 0, probe_at = clock_timestamp()
    where channel = :channel and chatbot_id = :chatbot_id and channel_is_down_v1(state) returning true as is_down
), oldest_job as ( -- but one that a worker claims at this moment
    select id from job where waits_for = channel_account_v1(:channel, :chatbot_id) and closed_at is null and state = 'delayed' and not held
    and queue <> 'media-fetch' order by id limit 1 for update skip locked
), due_job as (
    update job set run_at = clock_timestamp() where id = (select id from oldest_job) and (select is_down from down_account)
)
select is_down from down_account

-- name: schedule_probe(channel, chatbot_id)
-- A probe has left, and nobody knows what became of it: another reply tries when the next one is due.
with oldest_job as ( -- but one that a worker claims at this moment
    select id from job where waits_for = channel_account_v1(:channel, :chatbot_id) and closed_at is null and state = 'delayed' and not held
    and queue <> 'media-fetch' order by id limit 1 for update skip locked
)
update job set run_at = probe_at from channel_health
where channel = :channel and chatbot_id = :chatbot_id and probe_at is not null and channel_is_down_v1(channel_health.state)
  and job.id = (select id from oldest_job)

-- name: send_scouts
-- Somebody comes if a reply is looked at within ten minutes: one that waits for a rate limit is not joined by others.
with due_accounts as materialized (
    select channel_account_v1(channel, chatbot_id) as account from channel_health
    where probe_at < now() - interval '5 seconds' and channel_is_down_v1(state)
), scouts as materialized (
    select (select id from job where waits_for = account and closed_at is null and state = 'delayed' and not held
            and queue <> 'media-fetch' order by id limit 1 for update skip locked) as id
    from due_accounts where not exists (
        select from job where waits_for = account and closed_at is null and not held and queue <> 'media-fetch'
            and (state <> 'delayed' or run_at < now() + interval '10 minutes'))
)
update job set run_at = clock_timestamp() where id = any (array(select id from scouts)) returning id
