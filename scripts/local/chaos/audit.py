"""Counts, in PostgreSQL and at the simulator, what became of a load: every count must be exact."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from scripts.local.chaos.plan import POISON_MARK
from scripts.local.chaos.scenarios import PROVIDERS, Scenario
from shared import db
from shared.channels.whatsapp_qr.ids import own_id
from shared.channels.whatsapp_qr.waha_content import bare_id

_COUNTS = """
    select
        (select count(*) from message where role = 'user')                                           as user_messages,
        (select count(distinct external_id) from message where role = 'user')                        as distinct_inbound,
        (select count(*) from message where role = 'assistant')                                      as replies,
        (select count(distinct reply_to) from message where role = 'assistant')                      as distinct_replies,
        -- A superseded reply whose question was answered again has no question any more.
        (select count(reply_to) - count(distinct reply_to) from message where role = 'assistant')    as replies_twice,
        (select count(*) from message where role = 'assistant' and status in ('SENT', 'DELIVERED', 'READ')) as sent,
        (select count(*) from message where role = 'assistant' and status = 'FAILED')                as failed,
        (select count(*) from message where role = 'assistant' and status = 'FAILED' and error is null) as failed_silent,
        (select count(*) from message where metadata ? 'fallback')                                   as fallbacks,
        -- Asked after a fallback, which hands the conversation over: the bot is silent.
        (select count(*) from message question join conversation on conversation.id = question.conversation_id
            where question.role = 'user' and owner = 'person' and exists (
                select from message fallback where fallback.conversation_id = conversation.id
                    and fallback.metadata ? 'fallback' and fallback.reply_to < question.id))         as left_to_people,
        (select count(*) from webhook_event)                                                         as events,
        (select count(*) from webhook_event where event in ('message.received', 'message.sent', 'message.failed')) as of_messages,
        (select count(*) from webhook_event where event = 'conversation.opened')                     as opened,
        (select count(*) from conversation)                                                          as conversations,
        (select count(*) from webhook_event where status = 'DELIVERED')                              as delivered,
        (select count(*) from webhook_event where status = 'FAILED')                                 as events_failed,
        (select count(*) from usage_log where kind = 'message')                                      as charged,
        (select count(*) from reply_draft)                                                           as drafts,
        (select count(*) from job where closed_at is null)                                           as open_jobs,
        (select count(*) from job where lost_claims > 0)                                             as taken_over,
        (select coalesce(max(extract(epoch from closed_at - started_at)), 0)::float8 from job
            where lost_claims > 0 and state = 'completed')                                           as longest_recovery,
        (select extract(epoch from max(updated_at))::float8 from message where role = 'assistant')   as last_reply_at
"""

# Fallback messages because of poison: to those that are, and to their neighbours.
_GIVEN_UP = """
    select count(*) filter (where starts_with(question.content, %(mark)s)) as poisoned,
        count(*) filter (where not starts_with(question.content, %(mark)s)) as neighbours
    from message reply join message question on question.id = reply.reply_to
    where starts_with(reply.metadata ->> 'reason', 'poison')
"""

# Replies are saved in the order of the messages that they answer.
_SAVED_OUT_OF_ORDER = """
    select count(*) from (
        select r.id, lag(r.id) over (partition by r.conversation_id order by r.reply_to) as before
        from message r where r.role = 'assistant') o where o.before > o.id
"""

# Users' messages are saved in the order in which they came.
_INBOUND_OUT_OF_ORDER = """
    select count(*) from (
        select substr(external_id, 4)::int as number, lag(substr(external_id, 4)::int)
            over (partition by conversation_id order by id) as before
        from message where role = 'user') o where o.before > o.number
"""

_SENDS = """
    select m.id, m.conversation_id, m.reply_to, m.external_id, m.channel,
        coalesce(bool_or(j.outcome_unknown_since is not null), false) as ambiguous
    from message m left join job j on j.message_id = m.id
    where m.role = 'assistant' and m.channel <> 'widget' group by m.id
"""


#: Seconds for which the poisons of a load may keep the AI stage from asking anything, all in all.
MAX_DOWN = 30.0
#: Seconds without a call of the AI that count as the stage being down.
SILENCE = 1.0


@dataclass
class Audit:
    """One scenario's figures. `wrong` describes each count that is not as promised."""

    scenario: str
    messages: int
    counts: dict[str, Any]
    duplicate_sends: int = 0
    ambiguous_duplicates: int = 0
    duplicate_webhooks: int = 0
    repeated_ai_calls: int = 0
    order_violations: int = 0
    redis_copies: int = 0
    #: Answers of the AI that were streamed, and those of them that ended in the middle.
    streamed: int = 0
    streams_cut: int = 0
    neighbours_given_up: int = 0
    #: Seconds without calls of the AI, in `poison`; from the last outage's end until the last reply.
    ai_down: float = 0.0
    last_reply: float = 0.0
    longest_shutdown: float = 0.0
    seconds: float = 0.0
    injections: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every count is exact."""
        return not self.wrong

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "passed": self.passed}


def audit(scenario: Scenario, messages: int, record: list[dict[str, Any]], over_at: float) -> Audit:
    """Compares the database with the load, and the simulator's record with the database. `over_at`: the last outage's end."""
    result = Audit(scenario.name, messages, db.row(_COUNTS) or {})
    if scenario.check is None:
        _check_database(result)
    _check_poison(result, messages // scenario.poison_every if scenario.poison_every else 0)
    accepted = [request for request in record if request["accepted"]]
    sent = _check_sends(result, [request for request in accepted if _is_send(request)], scenario)
    if scenario.check is not None:
        result.wrong += scenario.check(messages, sent)
    _check_webhooks(result, [request for request in accepted if request["kind"] == "webhook"])
    ai_calls = [request["at_ns"] for request in record if request["kind"] == "ai"]
    result.repeated_ai_calls = max(0, len(ai_calls) - (result.counts["replies"] - result.counts["fallbacks"]))
    if scenario.watched:
        _check_streams(result, [request for request in record if request["streamed"]])
    if scenario.harmless:
        _check_harmless(result)
    if over_at:
        result.last_reply = round(max(0.0, (result.counts["last_reply_at"] or 0.0) - over_at), 1)
        if result.last_reply > scenario.recovery:
            late = f"the last reply left {result.last_reply} s after the last outage, not within {scenario.recovery:.0f} s"
            result.wrong.append(late)
    if scenario.poison_every and not scenario.disruptions:
        result.ai_down = _silence(ai_calls)
        if result.ai_down > MAX_DOWN:
            result.wrong.append(f"the AI stage was down for {result.ai_down} s in all, not less than {MAX_DOWN:.0f} s")
    return result


def _check_poison(result: Audit, poisoned: int) -> None:
    given_up = db.row(_GIVEN_UP, {"mark": POISON_MARK}) or {}
    result.neighbours_given_up = given_up["neighbours"]
    if given_up["poisoned"] != poisoned:
        result.wrong.append(f"poison: {given_up['poisoned']} given up instead of {poisoned}")
    if result.neighbours_given_up:
        result.wrong.append(f"poison: {result.neighbours_given_up} neighbours were given up with it")


def _check_streams(result: Audit, streams: list[dict[str, Any]]) -> None:
    result.streamed, result.streams_cut = len(streams), sum("cut" in stream["faults"] for stream in streams)
    if not result.streams_cut:
        result.wrong.append(f"no answer ended in the middle, of {len(streams)} that were streamed; take more --messages")
    if result.counts["drafts"]:
        result.wrong.append(f"{result.counts['drafts']} drafts are left over of replies that are saved")


def _check_harmless(result: Audit) -> None:
    """No worker vanished, and every answer from outside arrived."""
    lost, again = result.counts["taken_over"], result.ambiguous_duplicates
    if lost:
        result.wrong.append(f"{lost} jobs count a lost worker, but none died")
    if again:
        result.wrong.append(f"{again} messages left a second time although the first one's answer was received")


def _silence(at_ns: list[int]) -> float:
    """Seconds in which nothing was asked, of pauses longer than SILENCE."""
    pauses = [(later - earlier) / 1e9 for earlier, later in pairwise(sorted(at_ns))]
    return round(sum(pause for pause in pauses if pause > SILENCE), 1)


def _check_database(result: Audit) -> None:
    counts, messages, wrong = result.counts, result.messages, result.wrong
    answered = messages - counts["left_to_people"]
    expected = {"user_messages": messages, "distinct_inbound": messages, "charged": messages}
    for name, count in {**expected, "replies": answered, "distinct_replies": answered}.items():
        if counts[name] != count:
            wrong.append(f"{name}: {counts[name]} instead of {count}")
    unsettled = answered - counts["sent"] - counts["failed"]
    if unsettled:
        wrong.append(f"{unsettled} replies are neither SENT nor FAILED")
    if counts["failed_silent"] or counts["open_jobs"]:
        wrong.append(f"{counts['failed_silent']} replies FAILED without a reason, {counts['open_jobs']} jobs still open")
    delivered, failed, of_messages = counts["delivered"], counts["events_failed"], messages + answered
    if (delivered + failed, of_messages, counts["opened"]) != (counts["events"], counts["of_messages"], counts["conversations"]):
        wrong.append(
            f"webhooks: {delivered} delivered + {failed} failed of {counts['events']}; {counts['of_messages']} of messages,"
            f" expected {of_messages}; {counts['opened']} of conversations, expected {counts['conversations']}"
        )
    result.order_violations = db.scalar(_SAVED_OUT_OF_ORDER) + db.scalar(_INBOUND_OUT_OF_ORDER)


def _is_send(request: dict[str, Any]) -> bool:
    return request["kind"] in PROVIDERS and bool(request["text"])


def _check_sends(result: Audit, sends: list[dict[str, Any]], scenario: Scenario) -> dict[int, list[int]]:
    """Checks them; returns when each message that was sent arrived (Unix time in ns)."""
    replies = {row["id"]: row for row in db.rows(_SENDS)}
    # A reply may be superseded after a worker died with its send: then its row has no id of the provider's.
    by_provider_id = {own_id(message_id): message_id for message_id in replies}
    by_provider_id |= {row["external_id"]: row["id"] for row in replies.values() if row["external_id"]}
    times: dict[int, list[int]] = defaultdict(list)
    for send in sends:
        message_id = _message_of(send, by_provider_id) or scenario.message_of(send)
        if message_id is None or message_id not in replies:
            result.wrong.append(f"a send at {send['kind']} belongs to no message: {send['answered_id']}")
            continue
        times[message_id].append(send["at_ns"])
    for message_id, arrivals in times.items():
        extra = len(arrivals) - 1
        if replies[message_id]["ambiguous"]:
            result.ambiguous_duplicates += extra
        else:
            result.duplicate_sends += extra
    if result.duplicate_sends:
        result.wrong.append(f"{result.duplicate_sends} duplicate sends although the first one's outcome was known")
    result.order_violations += _sent_out_of_order(replies, times)
    if result.order_violations:
        result.wrong.append(f"{result.order_violations} order violations")
    return times


def _message_of(send: dict[str, Any], by_provider_id: dict[str, int]) -> int | None:
    callback = send.get("callback_data")
    if callback:
        return int(str(callback).removeprefix("msg_"))
    return by_provider_id.get(bare_id(send["answered_id"]))


def _sent_out_of_order(replies: dict[int, dict[str, Any]], times: dict[int, list[int]]) -> int:
    conversations: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for message_id, arrivals in times.items():
        reply = replies[message_id]
        if reply["reply_to"] is not None:  # a superseded one whose question was answered again has no place
            conversations[reply["conversation_id"]].append((min(arrivals), reply["reply_to"]))
    return sum(
        1 for sends in map(sorted, conversations.values()) for (_, earlier), (_, later) in pairwise(sends) if earlier > later
    )


def _check_webhooks(result: Audit, deliveries: list[dict[str, Any]]) -> None:
    ids = Counter(_event_id(delivery["headers"]) for delivery in deliveries)
    result.duplicate_webhooks = sum(ids.values()) - len(ids)
    if len(ids) < result.counts["delivered"]:
        result.wrong.append(f"{result.counts['delivered']} events are DELIVERED, but only {len(ids)} arrived")


def _event_id(headers: dict[str, str]) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == "webhook-id"), None)
