"""The ledger: a job's life in PostgreSQL, and the stages that work on jobs.

What belongs here: the verbs of a job (claim, snooze, fail, complete), the wrapper around every actor, retry policies, dead
letters, the sweep and the pruning of job records, worker processes, their supervisor, and processes for a single suspect. It
knows jobs, and neither chats nor webhooks: what a failed job writes to a message or an event comes from its stage, as SQL
beside it.
What does not: messages, channels, endpoints, HTTP.
It may import: the vocabulary, models, db, broker, telemetry. Used by ai, budgets, channels, webhooks, privacy, operations,
workers, web and scripts.
"""
