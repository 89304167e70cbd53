-- Workers of the last release wrote the model's own reasons.
update conversation set handover_reason = case
    when handover_reason in ('asked', 'misses', 'loop', 'unsupported', 'provider_down', 'out_of_hours', 'budget') then handover_reason
    when handover_reason = 'asked_for_human' then 'asked'
    when handover_reason in ('no_knowledge', 'off_topic') then 'misses'
    else 'rule' end
where handover_reason is not null;
alter table conversation add constraint conversation_handover_reason check (handover_reason in (
    'asked', 'misses', 'loop', 'unsupported', 'provider_down', 'out_of_hours', 'budget', 'rule'));
