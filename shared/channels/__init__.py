"""The channels by which customers write: one package per channel, and `registry`, the only list of them.

What belongs here: how a channel signs, parses and classifies, its limits, one call to its provider, its accounts' health, and
what all channels share: the neutral types of inbound items, splitting, the bookkeeping of a send, delivery statuses.
What does not: HTTP requests that come in (web/hooks), jobs that run (workers), how any call goes out (shared/http).
It may import: the vocabulary, models, db, http, telemetry, broker, jobs, media, privacy. Used by inbox, operations, workers, web
and scripts. `registry`, `kinds` and `handoffs` are vocabulary: pure data, which anyone may import. So this file imports nothing.
"""
