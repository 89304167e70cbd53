"""What the two WhatsApp stages share: one message leaves at most once that we know of, and its book-keeping.

A send whose answer was not kept (a kill, a read timeout) is ambiguous: neither gateway has idempotency keys. The next
attempt first waits for a status update that settles it, then follows AMBIGUOUS_SEND.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared import db, payloads
from shared.broker import rate_limits
from shared.channels import registry
from shared.channels.registry import channel_of
from shared.config import settings
from shared.errors import PermanentError, Snooze
from shared.http import ConnectFailed
from shared.jobs.completion import Ending
from shared.jobs.ledger import Claim, Claiming
from shared.payloads import strip_invalid
from shared.queues import Queue

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutboundMessage:
    """A message ready to leave. `sender` is the channel's row: credentials and address; `parts_sent` are gone already."""

    message_id: int
    content: str
    status: str
    external_id: str | None
    recipient: str
    parts_sent: int
    sender: dict[str, Any]


def claiming(queue: Queue) -> Claiming:
    """Takes the jobs of a send stage, with what `load_message` needs."""
    return Claiming(
        queue,
        f"""
        select m.content, m.status, m.external_id, c.external_user_id as recipient, to_jsonb(s) as sender,
            coalesce((m.metadata ->> 'parts_sent')::int, 0) as parts_sent
        from message m join conversation c on c.id = m.conversation_id
        left join {channel_of(queue).account_table} s on s.chatbot_id = m.chatbot_id and s.active
        where m.id = mine.message_id and m.role = 'assistant'
        """,
    )


def load_message(claimed: Claim) -> OutboundMessage:
    """What a claimed job is to send. Raises PermanentError if there is nothing, or nothing to send it with."""
    message_id = payloads.read(claimed.queue, claimed.payload)["message_id"]
    if claimed.loaded is None:
        raise PermanentError(f"there is no reply {message_id} to send")
    if claimed.loaded["sender"] is None:
        raise PermanentError(f"the chatbot has no active {channel_of(claimed.queue).account_table}; connect one and send again")
    return OutboundMessage(message_id=message_id, **claimed.loaded)


# The status may have come before the answer was stored (parked_status), or may have settled the message already.
_sent = Ending(
    "send_sent",
    """
    with mine as materialized (
        select * from jsonb_to_recordset($1) as a(n int, job_id bigint, claim int, message_id bigint, provider_id text,
            ids text[], attempt int, metadata jsonb, customer_id bigint, channel text)
    ), early as (
        delete from parked_status p using mine join message m on m.id = mine.message_id
        where p.provider_id = any (mine.ids) and coalesce(p.chatbot_id, m.chatbot_id) = m.chatbot_id
        returning mine.n, p.status, p.error
    ), best as (
        select distinct on (n) n, status, error from (
            select n, status, error from early union all select n, 'SENT', null from mine) heard
        order by n, status_rank(status) desc
    ), locked as materialized ( -- in the order in which statuses go through them (shared/channels/delivery_status.py)
        select id from message where id = any (array(select message_id from mine)) order by id for no key update
    ), sent as (
        update message m set
            status = case when status_rank(best.status) > status_rank(m.status) then best.status else m.status end,
            error = case when best.status = 'FAILED' then coalesce(best.error, 'the channel reported a failure') end,
            external_id = coalesce(mine.provider_id, m.external_id), attempts = mine.attempt, updated_at = clock_timestamp(),
            metadata = m.metadata || mine.metadata
        from mine join best using (n), (select count(*) from locked) first where m.id = mine.message_id
        returning mine.n, mine.job_id, mine.claim, mine.customer_id, mine.provider_id,
            m.id, m.conversation_id, m.channel, m.reply_to
    ), usage as (
        insert into usage_log (customer_id, kind, message_id) select customer_id, channel, id from sent on conflict do nothing
    )
    select jsonb_agg(n) as done, job_finish(
        jsonb_object_agg(job_id, claim), '[]',
        jsonb_agg(jsonb_build_object('customer_id', customer_id, 'event', 'message.sent',
            'data', jsonb_build_object('message_id', id, 'conversation_id', conversation_id, 'channel', channel,
                'reply_to', reply_to, 'provider_id', provider_id)))) as tickets
    from sent having count(*) > 0
    """,
)


def finish(claimed: Claim, parcel: OutboundMessage, channel: str, provider_id: str | None, ids: list[str]) -> None:
    """Keeps the provider's answer: SENT (or what a status said meanwhile), usage, event, the job's end."""
    known = strip_invalid(provider_id or "")[: payloads.MAX_ID] or parcel.external_id
    values = {
        "message_id": parcel.message_id,
        "provider_id": known or None,
        "ids": [*ids, *([known] if known else [])],
        "attempt": claimed.attempt,
        "metadata": {"provider_id": known, "attempts": claimed.attempt},
        "customer_id": claimed.customer_id,
        "channel": channel,
    }
    if not _sent(claimed, values):
        raise PermanentError(f"message {parcel.message_id} is gone")


_PART_SENT = "update message set metadata = metadata || jsonb_build_object('parts_sent', %s::int) where id = %s"


def part_sent(parcel: OutboundMessage, count: int) -> None:
    """Keeps that the first `count` parts of a long message left, so that the next attempt goes on behind them."""
    db.retry_on_outage(lambda: db.rows(_PART_SENT, [count, parcel.message_id]), patience=settings().job_lease)


def send_once(claimed: Claim, parcel: OutboundMessage, channel: str, ids: list[str], send: Callable[[], str]) -> None:
    """Sends, unless an earlier attempt did. `ids` are those the provider may give it, where they are known before."""
    if parcel.status != "PENDING":
        finish(claimed, parcel, channel, None, ids)
        return
    if claimed.outcome_unknown_for is not None and _settled(claimed, ids):
        finish(claimed, parcel, channel, ids[0], ids)
        return
    rate_limits.admit(claimed, f"{channel} {parcel.sender[registry.channel(channel).account_column]}")
    try:
        provider_id = send()
    except ConnectFailed as problem:
        raise ConnectionError(str(problem)) from problem
    finish(claimed, parcel, channel, provider_id, ids)


_HEARD = """
    select 1 from parked_status p join message m on m.id = %(message_id)s and m.chatbot_id = coalesce(p.chatbot_id, m.chatbot_id)
    where p.provider_id = any (%(ids)s) limit 1
"""


def _settled(claimed: Claim, ids: list[str]) -> bool:
    """Whether a status proves that an ambiguous send arrived. Raises Snooze while one may come, PermanentError to hold."""
    if ids and db.row(_HEARD, {"message_id": claimed.message_id, "ids": ids}) is not None:
        return True
    conf = settings()
    waited = claimed.outcome_unknown_for or 0.0
    if waited < conf.ambiguous_wait:
        raise Snooze(conf.ambiguous_wait - waited, "outcome unknown: waiting for a status of the earlier send")
    if conf.ambiguous_send == "hold":
        raise PermanentError("outcome unknown: an earlier send may have arrived, and AMBIGUOUS_SEND=hold")
    log.warning("outcome unknown, sending again", extra={"waited": round(waited, 1)})
    return False
