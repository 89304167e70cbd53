-- When what its month has cost is counted once more: what was being saved when it was set knew nothing of it. Null: not any more.
alter table budget add recount_at timestamptz;
