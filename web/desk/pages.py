"""The modules of the desk's pages. Each adds its routes to the blueprint when it is imported; a new one is named here."""

from __future__ import annotations

from web.desk import (  # noqa: F401 - imported for their routes
    api_keys,
    audit_log,
    budgets,
    channels,
    chatbots,
    connecting,
    conversations,
    gaps,
    inbox,
    knowledge,
    live,
    login,
    profile,
    replies,
    sources,
    team,
    usage,
    webhook,
    webhooks,
)
from web.desk.operate import customers, failures, overview, pauses, prices, replays, search  # noqa: F401
