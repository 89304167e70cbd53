"""The chat widget on a business's own pages.

It has no provider: its messages come in by web/widget, workers/outgoing.py marks its replies SENT, and open pages read them from
the database. What belongs here: rules of the widget that processes other than the web's need; replies while they are written
(drafts.py), what it carries of files (files.py).
It may import what shared/channels may. Used by workers and web/widget.
"""
