"""Redis moves: the woken broker, its Lua scripts and consumers, enqueueing, lanes and customers that take turns, rate limits.

What belongs here: whatever speaks Dramatiq's protocol or counts in Redis, which carries ids and nothing else.
What does not: the job itself (shared/jobs), what stages do.
It may import: config, setting_types, errors, queues, db (to refuse an enqueue inside a transaction), telemetry, dns. Used by jobs
and all above.
"""
