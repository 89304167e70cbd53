"""What the two WhatsApp stages share: one message leaves at most once that we know of, and its book-keeping.

A send whose answer was not kept (a kill, a read timeout) is ambiguous: neither gateway has idempotency keys. The next
attempt first waits for a status update that settles it, then follows AMBIGUOUS_SEND.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared import db, ledger
from shared.config import settings
from shared.errors import Later, Permanent
from shared.http import NotSent
from shared.ledger import Claim, Ticket

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parcel:
    """A message ready to leave. `sender` is the channel's row: credentials and address."""

    message_id: int
    content: str
    status: str
    external_id: str | None
    recipient: str
    sender: dict[str, Any]


_LOAD = """
    select m.content, m.status, m.external_id, c.external_user_id as recipient, to_jsonb(s) as sender
    from message m join conversation c on c.id = m.conversation_id
    left join {table} s on s.chatbot_id = m.chatbot_id and s.active
    where m.id = %(message_id)s and m.role = 'assistant'
"""
_TABLES = {"whatsapp_cloud": "whatsapp_cloud_account", "whatsapp_qr": "whatsapp_qr_session"}


def load(message_id: int, channel: str) -> Parcel:
    """The parcel of a message. Raises Permanent if there is none, or nothing to send it with."""
    found = db.row(_LOAD.format(table=_TABLES[channel]), {"message_id": message_id})
    if found is None:
        raise Permanent(f"there is no reply {message_id} to send")
    if found["sender"] is None:
        raise Permanent(f"the chatbot has no active {_TABLES[channel]}; connect one and send again")
    return Parcel(message_id=message_id, **found)


# The status may have come before the answer was stored (parked_status), or may have settled the message already.
_SENT = """
    with early as (
        delete from parked_status where provider_id = any (%(ids)s) returning status, error
    ), best as (
        select status, error, status_rank(status) from early union all select 'SENT', null, 1 order by 3 desc limit 1
    ), sent as (
        update message m set
            status = case when status_rank(best.status) > status_rank(m.status) then best.status else m.status end,
            error = case when best.status = 'FAILED' then coalesce(best.error, 'the channel reported a failure') end,
            external_id = coalesce(%(provider_id)s, m.external_id), attempts = %(attempt)s, updated_at = clock_timestamp(),
            metadata = m.metadata || %(metadata)s
        from best where m.id = %(message_id)s
        returning m.id, m.conversation_id, m.channel, m.reply_to
    ), usage as (
        insert into usage_log (customer_id, kind, message_id)
        select %(customer_id)s, %(channel)s, id from sent on conflict do nothing
    )
    select job_finish(%(job_id)s, %(claim)s, '[]', jsonb_build_array(jsonb_build_object(
        'customer_id', %(customer_id)s::bigint, 'event', 'message.sent', 'data', jsonb_build_object(
            'message_id', id, 'conversation_id', conversation_id, 'channel', channel, 'reply_to', reply_to,
            'provider_id', %(provider_id)s::text))))
    from sent
"""


def finish(claimed: Claim, parcel: Parcel, channel: str, provider_id: str | None, ids: list[str]) -> list[Ticket]:
    """Keeps the provider's answer: SENT (or what a status said meanwhile), usage, event, the job's end."""
    known = provider_id or parcel.external_id
    params = {
        "message_id": parcel.message_id,
        "provider_id": known or None,
        "ids": [*ids, *([known] if known else [])],
        "attempt": claimed.attempt,
        "metadata": db.json({"provider_id": known, "attempts": claimed.attempt}),
        "customer_id": claimed.customer_id,
        "channel": channel,
    }
    tickets = ledger.finish(claimed, _SENT, params)
    if tickets is None:
        raise Permanent(f"message {parcel.message_id} is gone")
    return tickets


def send_once(claimed: Claim, parcel: Parcel, channel: str, ids: list[str], send: Callable[[], str]) -> list[Ticket]:
    """Sends, unless an earlier attempt did. `ids` are those the provider may give it, where they are known before."""
    if parcel.status != "PENDING":
        return finish(claimed, parcel, channel, None, ids)
    if claimed.outcome_unknown_for is not None and _settled(claimed, ids):
        return finish(claimed, parcel, channel, ids[0], ids)
    try:
        provider_id = send()
    except NotSent as problem:
        raise ConnectionError(str(problem)) from problem
    return finish(claimed, parcel, channel, provider_id, ids)


def _settled(claimed: Claim, ids: list[str]) -> bool:
    """Whether a status proves that an ambiguous send arrived. Raises Later while one may come, Permanent to hold."""
    if ids and db.row("select 1 from parked_status where provider_id = any (%s) limit 1", [ids]) is not None:
        return True
    conf = settings()
    waited = claimed.outcome_unknown_for or 0.0
    if waited < conf.ambiguous_wait:
        raise Later(conf.ambiguous_wait - waited, "outcome unknown: waiting for a status of the earlier send")
    if conf.ambiguous_send == "hold":
        raise Permanent("outcome unknown: an earlier send may have arrived, and AMBIGUOUS_SEND=hold")
    log.warning("outcome unknown, sending again", extra={"waited": round(waited, 1)})
    return False
