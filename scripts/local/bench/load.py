"""The load of a benchmark: tenants like the peer's, and messages that are enqueued all at once or one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from scripts.local.bench.progress import progress
from scripts.local.tenants import add_chatbot, connect_number
from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.queue_service import enqueue_incoming_message

PRICES = (2_000, 4_900, 5_000, 9_900, 10_000, 25_000)
TOPICS = (
    *("shipping", "delivery", "refund", "invoice", "subscription", "address", "payment", "cards", "hours", "support"),
    *("holidays", "product", "damaged", "order", "account", "password", "privacy", "discount", "gift", "contact"),
)
TEXTS = (
    "Hello, when will my order be shipped and how can I follow the delivery?",
    "I would like to change the address of my subscription before the next invoice.",
    "Do you offer a refund when the product arrives damaged?",
    "What are the opening hours of the support team during the holidays?",
    "My payment was declined twice, which cards do you accept?",
)
TENANTS = 20
#: Messages of one transaction: each holds a few locks until it ends, and PostgreSQL has room for 6,400 by default.
PAGE = 1_000

_FILL = """
    select message_accept_v1(inbound.chatbot_id, %(channel)s, inbound.sender, inbound.external_id, jsonb_build_object(
        'chatbot_id', inbound.chatbot_id, 'channel', %(channel)s::text, 'external_user_id', inbound.sender,
        'external_id', inbound.external_id,
        'content', (%(texts)s::text[])[1 + inbound.n %% cardinality(%(texts)s::text[])], 'metadata', '{}'::jsonb)) as accepted
    from (select n, (%(chatbots)s::bigint[])[1 + n %% %(conversations)s %% cardinality(%(chatbots)s::bigint[])] as chatbot_id,
                 %(prefix)s || lpad((n %% %(conversations)s)::text, 6, '0') || '7' as sender, %(name)s || '-' || n as external_id
          from generate_series(%(first)s, least(%(first)s + %(page)s, %(messages)s) - 1) n) inbound
"""


def seed_tenants() -> None:
    """Twenty customers with a chatbot and a WhatsApp number, half of them with knowledge; the same as the peer's seed-db.js."""
    with db.transaction():
        for number in range(TENANTS):
            _seed_tenant(number)
    db.rows("analyze")


def _seed_tenant(number: int) -> None:
    chatbot = add_chatbot(f"Customer {number}", PRICES[number % len(PRICES)], _knowledge() if number % 2 else ())
    connect_number(chatbot, f"1000{chatbot.id:06d}")


def _knowledge() -> Iterator[tuple[str, str]]:
    for k, topic in enumerate(TOPICS):
        other = TOPICS[(k * 7 + 3) % len(TOPICS)]
        content = (
            f"Everything our customers ask about {topic}: how it works, what it costs and how long it takes. See also {other}. "
            f"The team answers every request within one working day and keeps you informed. ({k})"
        )
        yield f"About {topic} and {other}", content


def chatbots() -> list[int]:
    """The ids of all chatbots."""
    return [row["id"] for row in db.rows("select id from chatbot order by id")]


def fill(name: str, messages: int, conversations: int, to: list[int] | None = None, senders: str = "1555") -> Callable[[], None]:
    """Accepts messages in PostgreSQL; the returned function enqueues them in Redis, which is when the clock starts.

    `senders`: how their numbers begin.
    """
    params = {
        "channel": "whatsapp_cloud",
        "texts": list(TEXTS),
        "chatbots": to or chatbots(),
        "conversations": conversations,
        "prefix": "1999" if name == "warm-up" else senders,
        "name": name,
        "messages": messages,
        "page": PAGE,
    }
    accepted = [row["accepted"] for first in range(0, messages, PAGE) for row in db.rows(_FILL, {**params, "first": first})]
    tickets = [ticket for one in accepted for ticket in tickets_of(one["tickets"])]

    def enqueue_all() -> None:
        for start in range(0, len(tickets), PAGE):
            enqueue(tickets[start : start + PAGE])

    return enqueue_all


def send_paced(
    name: str, messages: int, interval: float, to: list[int] | None = None, first: int = 0, doing: str = ""
) -> dict[str, int]:
    """One message every `interval` seconds, each from a new sender, to these or all chatbots; numbered from `first` on.

    Returns the time just before each message: {sender: monotonic ns}.
    """
    recipients, begun, sent = to or chatbots(), time.monotonic(), {}
    for number in range(messages):
        time.sleep(max(0.0, begun + number * interval - time.monotonic()))
        progress.tell(doing or f"{number:,} of {messages:,} messages enqueued")
        sender = f"{'1999' if name == 'warm-up' else '1777'}{first + number:06d}7"  # never …0000404, which the simulator refuses
        sent[sender] = time.monotonic_ns()
        enqueue_incoming_message(
            chatbot_id=recipients[number % len(recipients)],
            channel="whatsapp_cloud",
            external_user_id=sender,
            content=TEXTS[number % len(TEXTS)],
            external_id=f"{name}-{first + number}",
        )
    return sent


_SENT = "select count(*) from message where role = 'assistant' and status in ('SENT', 'DELIVERED', 'READ')"


def until_sent(target: int, timeout: float = 600.0) -> float:
    """Waits until this many replies are SENT; returns the time (monotonic seconds). Polls often only near the end."""
    begun = time.monotonic()
    while True:
        sent = int(db.scalar(_SENT))
        now = time.monotonic()
        if sent >= target:
            return now
        if now - begun > timeout:
            raise RuntimeError(f"Only {sent} of {target} replies were sent after {timeout:.0f} s.")
        progress.tell(f"{sent:,} of {target:,} replies sent")
        left = (now - begun) * (target - sent) / sent if sent else 0.5
        time.sleep(min(0.5, max(0.01, left / 2)))


# Webhooks may be retried for long; the modes that have them check them.
_BUSY = "select 1 from job where closed_at is null and id > 0 and queue <> 'webhook-delivery' limit 1"


def until(condition: Callable[[], object], problem: str, timeout: float) -> None:
    """Waits until the condition holds. Raises RuntimeError, naming the problem, if it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"After {timeout:.0f} s {problem}.")
        progress.tell(f"waits: {problem}")
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
    """Raises RuntimeError unless each message has exactly one reply, one send and one usage record of each kind."""
    until(lambda: db.row(_BUSY) is None, "jobs are still open", 30)
    counts = db.row(_COUNTS) or {}
    expected = {**dict.fromkeys(counts, messages), "fallbacks": 0}
    wrong = {name: value for name, value in counts.items() if value != expected[name]}
    if wrong:
        raise RuntimeError(f"Counts are not exact: {wrong}; expected {messages} of each and no fallback.")
