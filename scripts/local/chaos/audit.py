"""Counts, in PostgreSQL and at the simulator, what came of a load; exact or it is a failure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from shared import db
from shared.channels.whatsapp_qr.waha import bare_id

_COUNTS = """
    select
        (select count(*) from message where role = 'user')                                           as user_messages,
        (select count(distinct external_id) from message where role = 'user')                        as distinct_inbound,
        (select count(*) from message where role = 'assistant')                                      as replies,
        (select count(distinct reply_to) from message where role = 'assistant')                      as distinct_replies,
        (select count(*) from message where role = 'assistant' and status in ('SENT', 'DELIVERED', 'READ')) as sent,
        (select count(*) from message where role = 'assistant' and status = 'FAILED')                as failed,
        (select count(*) from message where role = 'assistant' and status = 'FAILED' and error is null) as failed_silent,
        (select count(*) from message where metadata ? 'fallback')                                   as fallbacks,
        (select count(*) from webhook_event)                                                         as events,
        (select count(*) from webhook_event where status = 'DELIVERED')                              as delivered,
        (select count(*) from webhook_event where status = 'FAILED')                                 as events_failed,
        (select count(*) from usage_log where kind = 'message')                                      as charged,
        (select count(*) from job where closed_at is null)                                           as open_jobs,
        (select count(*) from job where lost_claims >= 3)                                            as given_up,
        (select count(*) from job where lost_claims > 0)                                             as taken_over,
        (select coalesce(max(extract(epoch from closed_at - started_at)), 0)::float8 from job
            where lost_claims > 0 and lost_claims < 3)                                               as longest_recovery
"""

# Replies are saved in the order of what they answer.
_SAVED_OUT_OF_ORDER = """
    select count(*) from (
        select r.id, lag(r.id) over (partition by r.conversation_id order by r.reply_to) as before
        from message r where r.role = 'assistant') o where o.before > o.id
"""

# And what the user sent is saved in the order in which it came.
_INBOUND_OUT_OF_ORDER = """
    select count(*) from (
        select substr(external_id, 4)::int as number, lag(substr(external_id, 4)::int)
            over (partition by conversation_id order by id) as before
        from message where role = 'user') o where o.before > o.number
"""

_SENDS = """
    select m.id, m.conversation_id, m.reply_to, m.external_id, m.channel,
        coalesce(bool_or(j.outcome_unknown_since is not null), false) as ambiguous
    from message m left join job j on j.message_id = m.id and j.queue like 'whatsapp-%%'
    where m.role = 'assistant' and m.channel <> 'widget' group by m.id
"""


@dataclass
class Audit:
    """One scenario's figures. `wrong` says, in words, what is not as promised."""

    scenario: str
    messages: int
    counts: dict[str, Any]
    duplicate_sends: int = 0
    ambiguous_duplicates: int = 0
    duplicate_webhooks: int = 0
    repeated_ai_calls: int = 0
    order_violations: int = 0
    redis_copies: int = 0
    longest_shutdown: float = 0.0
    seconds: float = 0.0
    blows: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every count is exact."""
        return not self.wrong

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "passed": self.passed}


def audit(scenario: str, messages: int, poisoned: int, record: list[dict[str, Any]]) -> Audit:
    """Compares the database with the load, and the simulator's record with the database."""
    result = Audit(scenario, messages, db.row(_COUNTS) or {})
    _check_database(result, poisoned)
    _check_sends(result, [seen for seen in record if seen["accepted"] and seen["kind"] in ("graph", "waha")])
    _check_webhooks(result, [seen for seen in record if seen["accepted"] and seen["kind"] == "webhook"])
    accepted_ai = sum(1 for seen in record if seen["kind"] == "ai" and seen["accepted"])
    result.repeated_ai_calls = max(0, accepted_ai - (result.counts["replies"] - result.counts["fallbacks"]))
    return result


def _check_database(result: Audit, poisoned: int) -> None:
    found, n = result.counts, result.messages
    expect = result.wrong.append
    for name in ("user_messages", "distinct_inbound", "replies", "distinct_replies", "charged"):
        if found[name] != n:
            expect(f"{name}: {found[name]} instead of {n}")
    if found["sent"] + found["failed"] != n:
        expect(f"{n - found['sent'] - found['failed']} replies are neither sent nor failed")
    if found["failed_silent"] or found["open_jobs"]:
        expect(f"{found['failed_silent']} failed without a reason, {found['open_jobs']} jobs left open")
    if found["delivered"] + found["events_failed"] != found["events"] or found["events"] != 2 * n:
        expect(
            f"webhooks: {found['delivered']} delivered + {found['events_failed']} failed of {found['events']}, expected {2 * n}"
        )
    if found["given_up"] < poisoned:
        expect(f"poison: {found['given_up']} given up instead of {poisoned}")
    result.order_violations = db.scalar(_SAVED_OUT_OF_ORDER) + db.scalar(_INBOUND_OUT_OF_ORDER)


def _check_sends(result: Audit, sends: list[dict[str, Any]]) -> None:
    known = {row["id"]: row for row in db.rows(_SENDS)}
    by_provider_id = {row["external_id"]: row["id"] for row in known.values() if row["external_id"]}
    times: dict[int, list[int]] = defaultdict(list)
    for seen in sends:
        message_id = _message_of(seen, by_provider_id)
        if message_id is None or message_id not in known:
            result.wrong.append(f"a send at {seen['kind']} that no message knows: {seen['answered_id']}")
            continue
        times[message_id].append(seen["at_ns"])
    for message_id, arrivals in times.items():
        extra = len(arrivals) - 1
        if known[message_id]["ambiguous"]:
            result.ambiguous_duplicates += extra
        else:
            result.duplicate_sends += extra
    if result.duplicate_sends:
        result.wrong.append(f"{result.duplicate_sends} duplicate sends whose outcome was known")
    result.order_violations += _sent_out_of_order(known, times)
    if result.order_violations:
        result.wrong.append(f"{result.order_violations} order violations")


def _message_of(seen: dict[str, Any], by_provider_id: dict[str, int]) -> int | None:
    own = seen.get("callback_data")
    if own:
        return int(str(own).removeprefix("msg_"))
    return by_provider_id.get(bare_id(seen["answered_id"]))


def _sent_out_of_order(known: dict[int, dict[str, Any]], times: dict[int, list[int]]) -> int:
    talks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for message_id, arrivals in times.items():
        row = known[message_id]
        talks[row["conversation_id"]].append((min(arrivals), row["reply_to"]))
    return sum(
        1 for talk in talks.values() for one, other in zip(sorted(talk), sorted(talk)[1:], strict=False) if one[1] > other[1]
    )


def _check_webhooks(result: Audit, deliveries: list[dict[str, Any]]) -> None:
    ids = Counter(_header(seen["headers"], "webhook-id") for seen in deliveries)
    result.duplicate_webhooks = sum(ids.values()) - len(ids)
    if len(ids) < result.counts["delivered"]:
        result.wrong.append(f"{result.counts['delivered']} events say DELIVERED, {len(ids)} arrived")


def _header(headers: dict[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)
