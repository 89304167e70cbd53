"""Webhooks: how a customer's endpoint hears of an event, and how it knows that it was us.

What belongs here: the signature of a delivery, its headers and ids; what is kept of an attempt and for how long; when an event is
tried again that failed; the end of calls to endpoints that are gone.
What does not: the stage that delivers (workers/webhooks.py), the API that manages endpoints (web/api), HTTP itself.
It may import: the vocabulary, db, http, jobs. Used by workers, web and scripts.
"""
