"""What operators look at and act upon: dead letters, bulk actions such as replays, pauses, the journey of a message.

What belongs here: reading all of that for the desk, the API and the commands, and the verbs that are an operator's. Each is a
function that pages and commands share.
What does not: the pipeline's own verbs (jobs, channels, webhooks), pages, texts of the interface.
It may import: everything in shared. Used by web, scripts and workers/maintenance.py.
"""
