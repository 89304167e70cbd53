"""Where a name leads, in time: `getaddrinfo` has no timeout, and nothing that we wait for may be without one.

What belongs here: looking names up, and what is remembered of it.
What does not: which addresses may be called (shared/http), what is connected to them.

It may import: telemetry. Used by db, broker, http and people.
"""
