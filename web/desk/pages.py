"""The modules of the desk's pages. Each adds its routes to the blueprint when it is imported; a new one is named here."""

from __future__ import annotations

from web.desk import api_keys, audit_log, chatbots, login, profile, team
from web.desk.operate import customers, failures, overview, pauses, replays, search

#: Those of businesses, and those of operators.
PAGES = (login, profile, chatbots, team, api_keys, audit_log, overview, failures, replays, search, pauses, customers)
