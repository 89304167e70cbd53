"""What the bot knows and says: the provider, the prompt, the knowledge that goes into it.

What belongs here: whom to ask, calls to AI providers and what their answers mean; what a prompt consists of.
What does not: the search in a chatbot's knowledge (knowledge_search_v2 in schema.sql), what becomes of a reply
(workers/ai.py), HTTP itself (shared/http).

It may import shared.http, shared.db, shared.models and the vocabulary. It is imported by workers/ai.py.
"""
