"""A new shop's bot is taught before anybody asks it: a CSV file of questions, and a page of the shop's web site."""

from __future__ import annotations

import time
from pathlib import Path

from scripts.local.demo.checks import Check
from scripts.local.demo.script import Scenario, Tenant
from shared import db
from shared.knowledge import sources
from shared.models import Chatbot
from shared.teaching import chatbots

#: Seconds that one file or page may take.
TIMEOUT = 60.0


def teach(scenario: Scenario, simulator_url: str) -> list[Check]:
    """Imports each shop's lessons with the real workers, and gives its bot its providers."""
    return [_teach(tenant, simulator_url) for tenant in scenario.tenants if tenant.lessons]


def _teach(tenant: Tenant, simulator_url: str) -> Check:
    columns = (Chatbot.customer, Chatbot.knowledge_base)
    bot = db.rows(Chatbot.select(*columns).where(Chatbot.id == tenant.chatbot_id))[0]
    chatbots.change_chatbot(bot["customer_id"], tenant.chatbot_id, {"providers": tenant.lessons["providers"]})
    file = Path(__file__).with_name(tenant.lessons["file"])
    whats = (sources.File(file.name, file.read_bytes()), sources.Page(simulator_url + tenant.lessons["page"]))
    read = [_wait(sources.start_import(bot["knowledge_base_id"], what)) for what in whats]
    observed = f"{read[0]} items from {file.name}, {read[1]} from {tenant.lessons['page']}"
    return Check(f"{tenant.name}'s new bot is taught from a CSV file and a web page", all(read), observed)


def _wait(source_id: int) -> int:
    """How many items it brought."""
    deadline = time.monotonic() + TIMEOUT
    while (source := sources.progress(source_id)) and source["state"] in ("listing", "importing"):
        if time.monotonic() > deadline:
            return 0
        time.sleep(0.05)
    return int(source["items"]) if source else 0
