-- name: sums(customer_id, first, days)
-- By day and kind, by chatbot and by model, in three groups of rows: of days that are counted from usage_day, of the others from usage_log.
with counted as materialized (
    select coalesce((select until from usage_counted where customer_id = :customer_id), '-infinity') as until
), entries as (
    select day, kind, nullif(chatbot_id, 0) as chatbot_id, nullif(model, '') as model, entries, quantity, prompt_tokens, completion_tokens,
        case when priced > 0 then cost end as cost
    from usage_day
    where customer_id = :customer_id and day >= :first::date and day < :first::date + :days::integer and day < (select until from counted)
    union all
    select (created_at at time zone 'utc')::date, kind, chatbot_id, model, 1, quantity, prompt_tokens, completion_tokens, cost
    from usage_log
    where customer_id = :customer_id and created_at < (:first::date + :days::integer)::timestamp at time zone 'utc'
        and created_at >= greatest(:first::date, (select until from counted))::timestamp at time zone 'utc'
)
select case when grouping(day) = 0 then 'days' when grouping(chatbot_id) = 0 then 'chatbots' else 'models' end as grouped,
    day, kind, chatbot_id, model, coalesce(sum(entries) filter (where kind = 'ai'), 0)::bigint as answers, sum(quantity)::bigint as quantity,
    sum(prompt_tokens)::bigint as prompt_tokens, sum(completion_tokens)::bigint as completion_tokens, sum(cost) as cost
from entries
group by grouping sets ((day, kind), (chatbot_id, model is null), (model))
having grouping(day) = 0 or not bool_and(model is null)
order by grouped, day, kind, sum(prompt_tokens) desc

-- name: to_count(limit, tried)
-- Customers with days that are over and not counted.
select customer.id from customer left join usage_counted on usage_counted.customer_id = customer.id
where (usage_counted.until is null or usage_counted.until < (now() at time zone 'utc' - interval '2 hours')::date)
    and customer.id <> all (:tried::bigint[])
order by random() limit :limit

-- name: count_days(customer_id, days)
select usage_count_days_v1(:customer_id, :days) as days
