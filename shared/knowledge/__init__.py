"""How knowledge gets in: files and web pages become the items of a knowledge base. Finding them is shared/ai's.

What belongs here: reading documents, splitting their text into items, and the sources that they come from.
    split.py    a text becomes parts of at most 2,000 characters that keep their titles
What does not: search and vectors (shared/ai), the stage that runs imports (workers/knowledge_import.py), the API (web/api).

It may import the vocabulary, db, http, jobs, broker. Used by workers, web and scripts.
"""
