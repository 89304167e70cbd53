"""The addresses of hosts, within a deadline: `getaddrinfo` has no timeout, and we wait for nothing without one.

What belongs here: looking names up, and remembering what was found.
What does not: which addresses may be called (shared/http), how they are connected to.
It may import: telemetry. Used by db, broker, http, people and teaching.
"""
