"""What customers may spend on models in a month, and what they have spent.

What belongs here: budgets (budgets.py) and models' prices (prices.py); the meter that every call to a model runs through, and the
sweep of calls of unknown outcome (meter.py); what was used, by day (usage.py).
What does not: the calls themselves (shared/ai), what a customer gets where a budget is used up (workers/ai.py), the arithmetic,
which is done under the lock of the budget's row (schema.sql).
It may import: the vocabulary, models, db, broker, http's URLs, jobs' independent steps, teaching's fields and time zones. Used
by ai, workers, web and scripts.
"""
