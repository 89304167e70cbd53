"""The load of a benchmark: tenants like the peer's, and messages put into both stores at once, or one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from scripts.local.bench.progress import progress
from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.db import credentials
from shared.queue_service import enqueue_incoming_message

PRICES = (2_000, 4_900, 5_000, 9_900, 10_000, 25_000)
TOPICS = (
    "shipping",
    "delivery",
    "refund",
    "invoice",
    "subscription",
    "address",
    "payment",
    "cards",
    "hours",
    "support",
    "holidays",
    "product",
    "damaged",
    "order",
    "account",
    "password",
    "privacy",
    "discount",
    "gift",
    "contact",
)
TEXTS = (
    "Hello, when will my order be shipped and how can I follow the delivery?",
    "I would like to change the address of my subscription before the next invoice.",
    "Do you offer a refund when the product arrives damaged?",
    "What are the opening hours of the support team during the holidays?",
    "My payment was declined twice, which cards do you accept?",
)
TENANTS = 20
#: Messages of one transaction: each holds some locks until its end, and a stock PostgreSQL has room for 6,400.
PAGE = 1_000

_FILL = """
    select message_accept_v1(bot.id, %(channel)s, bot.who, bot.text_id, jsonb_build_object(
        'chatbot_id', bot.id, 'channel', %(channel)s::text, 'external_user_id', bot.who, 'external_id', bot.text_id,
        'content', (%(texts)s::text[])[1 + bot.n %% cardinality(%(texts)s::text[])], 'metadata', '{}'::jsonb)) as accepted
    from (select n, (%(bots)s::bigint[])[1 + n %% %(conversations)s %% cardinality(%(bots)s::bigint[])] as id,
                 %(prefix)s || lpad((n %% %(conversations)s)::text, 6, '0') || '7' as who, %(name)s || '-' || n as text_id
          from generate_series(%(first)s, least(%(first)s + %(page)s, %(messages)s) - 1) n) bot
"""


def seed_tenants() -> None:
    """Twenty customers with a chatbot and a WhatsApp number; every second knows twenty things (the peer's seed-db.js)."""
    with db.transaction():
        for number in range(TENANTS):
            _seed_tenant(number)
    db.rows("analyze")


def _seed_tenant(number: int) -> None:
    customer = db.scalar(
        "insert into customer (name, plan_price_cents) values (%s, %s) returning id",
        [f"Customer {number}", PRICES[number % len(PRICES)]],
    )
    base = _knowledge(customer) if number % 2 else None
    bot = db.scalar(
        "insert into chatbot (customer_id, name, knowledge_base_id) values (%s, 'Bot', %s) returning id", [customer, base]
    )
    db.rows(
        "insert into whatsapp_cloud_account (chatbot_id, phone_number_id, access_token) values (%s, %s, %s)",
        [bot, f"1000{bot:06d}", credentials.encrypt(f"token-{bot}")],
    )


def _knowledge(customer: Any) -> Any:
    base = db.scalar("insert into knowledge_base (customer_id, name) values (%s, 'KB') returning id", [customer])
    for k, topic in enumerate(TOPICS):
        other = TOPICS[(k * 7 + 3) % len(TOPICS)]
        content = (
            f"Everything our customers ask about {topic}: how it works, what it costs and how long it takes. See also {other}. "
            f"The team answers every request within one working day and keeps you informed. ({k})"
        )
        db.rows(
            "insert into knowledge_item (knowledge_base_id, language, title, content) values (%s, 'english', %s, %s)",
            [base, f"About {topic} and {other}", content],
        )
    return base


def chatbots() -> list[int]:
    """All of them."""
    return [row["id"] for row in db.rows("select id from chatbot order by id")]


def fill(name: str, messages: int, conversations: int, to: list[int] | None = None) -> Callable[[], None]:
    """Accepts messages in PostgreSQL; the returned function hands them to Redis: that is when the clock starts."""
    params = {
        "channel": "whatsapp_cloud",
        "texts": list(TEXTS),
        "bots": to or chatbots(),
        "conversations": conversations,
        "prefix": "1999" if name == "warm-up" else "1555",
        "name": name,
        "messages": messages,
        "page": PAGE,
    }
    accepted = [row["accepted"] for first in range(0, messages, PAGE) for row in db.rows(_FILL, {**params, "first": first})]
    tickets = [ticket for one in accepted for ticket in tickets_of(one["tickets"])]

    def go() -> None:
        for start in range(0, len(tickets), PAGE):
            enqueue(tickets[start : start + PAGE])

    return go


def send_paced(name: str, messages: int, every: float, to: list[int] | None = None) -> dict[str, int]:
    """One message every `every` seconds, each from a new sender, to all chatbots or these; {sender: monotonic ns before it}."""
    bots, begun, sent = to or chatbots(), time.monotonic(), {}
    for number in range(messages):
        time.sleep(max(0.0, begun + number * every - time.monotonic()))
        progress.tell(f"{number:,} of {messages:,} messages written")
        who = f"{'1999' if name == 'warm-up' else '1777'}{number:06d}7"  # …0000404 is nobody's, at the simulator
        sent[who] = time.monotonic_ns()
        enqueue_incoming_message(
            chatbot_id=bots[number % len(bots)],
            channel="whatsapp_cloud",
            external_user_id=who,
            content=TEXTS[number % len(TEXTS)],
            external_id=f"{name}-{number}",
        )
    return sent


_SENT = "select count(*) from message where role = 'assistant' and status in ('SENT', 'DELIVERED', 'READ')"


def until_sent(target: int, patience: float = 600.0) -> float:
    """Waits for that many replies SENT; returns the time (monotonic seconds). Looks often only near the end."""
    begun = time.monotonic()
    while True:
        sent = int(db.scalar(_SENT))
        now = time.monotonic()
        if sent >= target:
            return now
        if now - begun > patience:
            raise RuntimeError(f"only {sent} of {target} sent after {patience:.0f} s")
        progress.tell(f"{sent:,} of {target:,} replies sent")
        left = (now - begun) * (target - sent) / sent if sent else 0.5
        time.sleep(min(0.5, max(0.01, left / 2)))


# Webhooks may be tried for long; who has them looks at them.
_BUSY = "select 1 from job where closed_at is null and id > 0 and queue <> 'webhook-delivery' limit 1"


def until(happened: Callable[[], object], what: str, patience: float) -> None:
    """Waits for it. Raises RuntimeError, saying `what`, if it does not happen within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not happened():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} after {patience:.0f} s")
        progress.tell(f"waits, {what}")
        time.sleep(0.1)


_COUNTS = """
    select (select count(*) from message where role = 'user') as user_messages,
        (select count(*) from message where role = 'assistant') as replies,
        (select count(distinct reply_to) from message where role = 'assistant' and status = 'SENT') as answered,
        (select count(distinct external_id) from message where role = 'assistant' and status = 'SENT') as provider_ids,
        (select count(*) from usage_log) / 3.0 as usage_triples,
        (select count(*) from message where role = 'assistant' and metadata ? 'fallback') as fallbacks
"""


def check(messages: int) -> None:
    """Raises RuntimeError unless each message has exactly one reply, one send and one charge of each kind."""
    until(lambda: db.row(_BUSY) is None, "jobs are still open", 30)
    counts = db.row(_COUNTS) or {}
    expected = {**dict.fromkeys(counts, messages), "fallbacks": 0}
    wrong = {name: value for name, value in counts.items() if value != expected[name]}
    if wrong:
        raise RuntimeError(f"counts are not exact: {wrong}; want {messages} of each and no fallback")
