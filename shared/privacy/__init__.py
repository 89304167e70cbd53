"""What becomes of people's data in the end: a person is erased or exported, and messages are kept no longer than wanted.

What belongs here:
    marks.py      what is left of an erased person: keyed hashes, by which a provider's second delivery is recognised
    erasure.py    everything of one person is deleted, wherever it is
    export.py     the same as JSON
    retention.py  messages and files that were kept for long enough
What does not: records that are about no person, such as jobs (shared/jobs/prune.py); files without a message (shared/media).

It may import what stands below channels. Used by web, scripts/contacts, workers/maintenance.py and, for the marks, by whoever
accepts what providers deliver.
"""
