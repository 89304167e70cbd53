"""Webhooks: how a customer's endpoint hears of an event, and how it knows that it was us.

What belongs here: which events there are and what they look like; endpoints, and the end of those that only fail; events that are
read; the signature of a delivery, its headers and ids; what is kept of an attempt and for how long; when an event is tried again
that failed, or sent again by somebody; how endpoints do; the end of calls to endpoints that are gone.
What does not: the stage that delivers (workers/webhooks.py), the API's shapes and routes (web/api), HTTP itself.
It may import: the vocabulary, models, db, http, broker, telemetry, jobs, people. Used by queue_service, workers, web and scripts.
"""
