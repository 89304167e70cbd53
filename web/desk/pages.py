"""The modules of the desk's pages. Each adds its routes to the blueprint when it is imported; a new one is named here."""

from __future__ import annotations

from web.desk import api_keys, audit_log, chatbots, login, profile, team

#: All of them.
PAGES = (login, profile, chatbots, team, api_keys, audit_log)
