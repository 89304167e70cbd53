-- name: businesses(handoff_hours, budget_hours, most)
-- Those with a handoff that nobody was told of and no person has come for yet, or such a budget. A test chat of the desk is no customer.
select customer_id from (
    select chatbot.customer_id
    from conversation join chatbot on chatbot.id = conversation.chatbot_id
    where handed_over_at > now() - make_interval(hours => :handoff_hours) and not is_test
        and handoff_told_at is distinct from handed_over_at
    union
    select customer_id from budget
    where greatest(warned_at, exhausted_at) > greatest(told_at, now() - make_interval(hours => :budget_hours))
) untold
order by 1 limit :most

-- name: take_handoffs(customer_id, hours, most)
-- Theirs, which from now on count as told of.
with untold as (
    select conversation.id, chatbot.name
    from conversation join chatbot on chatbot.id = conversation.chatbot_id
    where chatbot.customer_id = :customer_id and handed_over_at > now() - make_interval(hours => :hours)
        and handoff_told_at is distinct from handed_over_at and not is_test
    order by handed_over_at limit :most for no key update of conversation skip locked
)
update conversation set handoff_told_at = handed_over_at from untold where conversation.id = untold.id
returning conversation.id, name as chatbot, handover_reason as reason, handed_over_at

-- name: take_budgets(customer_id, hours)
-- Its budgets that have reached four fifths or their end, of which its owners were not told; from now on they count as told of.
with untold as (
    select id from budget
    where customer_id = :customer_id
        and greatest(warned_at, exhausted_at) > greatest(told_at, now() - make_interval(hours => :hours))
    order by id for update skip locked
)
update budget set told_at = greatest(warned_at, exhausted_at) from untold where budget.id = untold.id
returning exhausted_at is not null as is_exhausted, to_char(month, 'YYYY-MM') as month, at_limit,
    coalesce((select name from chatbot where chatbot.id = budget.chatbot_id),
             (select name from customer where customer.id = budget.customer_id)) as name
