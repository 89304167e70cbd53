"""The modules of the desk's pages. Each adds its routes to the blueprint when it is imported; a new one is named here."""

from __future__ import annotations

from web.desk import api_keys, audit_log, chatbots, conversations, gaps, inbox, knowledge, live, login, profile, sources, team
from web.desk.operate import customers, failures, overview, pauses, replays, search

#: Those of businesses, and those of operators.
_BUSINESS = (login, inbox, conversations, live, profile, chatbots, knowledge, sources, gaps, team, api_keys, audit_log)
PAGES = (*_BUSINESS, overview, failures, replays, search, pauses, customers)
