"""Files that people send: how they are fetched, what they are, where they are kept, and for how long.

What belongs here:
    download.py   a file on its way in: its temporary file, its limit, its hash
    fetching.py   one GET that may be redirected, and what an answer means: gone, not now, never
    kinds.py      what bytes are, by their first ones; which of them a browser may show
    names.py      what files are called
    storage.py    where bytes are: in a folder (folder.py), or in a bucket that speaks S3 (s3.py)
    files.py      which files there are: each once for a customer, within its quota, until nobody needs it any more
    in_memory.py  how many bytes of files are in memory at once
    inline.py     base64 within JSON, taken out of it while it is read
What does not: how a channel gives a file (shared/channels/<name>/media.py), what a file says (shared/ai).

It may import: the vocabulary, telemetry, db, http. Used by ai, channels, knowledge, privacy, workers and web.
"""
