"""What people at the desk work with: lists of conversations, one conversation, who has it, notes and quick replies.

What belongs here: reads that put a page together, each of one customer's own rows; the verbs of people, as functions.
What does not: who may answer (shared/channels/ownership.py, schema.sql), pages and forms (web/desk), messages that are sent
(web/api/sending.py).
It may import: the vocabulary, db, models, broker, channels. Used by web.
"""
