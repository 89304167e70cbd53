"""The people of the desk: who they are, how they log in, what they may do, and the record of what they did.

What belongs here: users and their rights, passwords, sessions, links that let somebody choose a password, the audit, mail, and
what people are told by it (notices).
What does not: pages and cookies (web/desk); customers' own contacts (shared/channels/contacts.py); API keys (web/api/keys.py).
It may import: config, errors, payloads, db, dns, http, models, telemetry. Used by webhooks, privacy, web, workers and scripts.
"""
