"""How knowledge gets in: files and web pages become the items of a knowledge base. Finding them is shared/ai's.

What belongs here: reading documents, splitting their text into items, and the sources that they come from.
    sources.py    files, pages and sites that items come from: start, sync, stop, retry, how it stands
    sitemaps.py   which pages a site has; web.py: asks for one of them, as robots.txt and the site allow
    reading.py    has a document read in a process of its own, reader_process.py, which cannot harm a worker (reader_memory.py)
    uploads.py    the bytes of files, until they are read
    readers.py    which reader a document gets: tables.py (columns.py, private_columns.py, rows.py, spreadsheets.py), texts.py
                  (pdf.py, word.py, and of pages markup.py, faq.py, structured.py, no_page.py), sitemap_file.py; encoding.py,
                  documents.py: what they share
    split.py      a text becomes parts of at most 2,000 characters that keep their titles
What does not: search and vectors (shared/ai), the stage that runs imports (workers/knowledge_import.py), the API (web/api).

It may import: the vocabulary, telemetry, models, db, http, broker, teaching, media. Used by ai, workers, web and scripts.
"""
