"""The modules of the desk's pages. Each adds its routes to the blueprint when it is imported; a new one is named here."""

from __future__ import annotations

from web.desk import (
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
from web.desk.operate import customers, failures, overview, pauses, prices, replays, search

#: Those of businesses, and those of operators.
_TAUGHT = (chatbots, knowledge, sources, gaps)
_ANSWERED = (login, inbox, conversations, replies, live, profile)
_BUSINESS = (*_ANSWERED, *_TAUGHT, channels, connecting, webhook, webhooks, usage, budgets)
PAGES = (*_BUSINESS, team, api_keys, audit_log, overview, failures, replays, search, pauses, customers, prices)
