"""What the bot knows and says: the provider, the prompt, the knowledge that goes into it.

What belongs here: whom to ask, calls to AI providers and what their answers mean; what a prompt consists of.
    provider.py     one question to a provider; clients.py: the openai client for an address
    failures.py     how that fails, and whether another provider may answer
    refusals.py     what a provider's refusal means, in any vendor's format; profiles.py: what is learnt from it, and kept
    turns.py        the roles of a prompt in the order that every model takes
    completion.py   how an answer is read; thoughts.py: what of it is not for the customer; stream.py: while it comes
    reply.py        what becomes of a question; tools.py: what a model may do instead of answering; citations.py: its sources
What does not: the search in a chatbot's knowledge (knowledge_search_v3 in schema.sql), what becomes of a saved reply
(workers/ai.py), HTTP itself (shared/http).

It may import shared.http, shared.db, shared.models and the vocabulary. It is imported by workers/ai.py.
"""
