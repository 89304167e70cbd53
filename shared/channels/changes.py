"""What a customer does to an earlier message: changes its text, deletes it, reacts to it.

What that means for its answer is message_change_v2's (schema.sql).
"""

from __future__ import annotations

from typing import Any

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels.inbound import Account, InboundEdit, InboundReaction, InboundRevoke
from shared.channels.registry import Channel
from shared.db import sql
from shared.payloads import MAX_ID, without_middle

queries = sql.load(__file__)

#: Characters of a reaction: emoji of several people have some.
MAX_EMOJI = 40
UNKNOWN = "unknown"


def edit(channel: Channel, account: Account, edited: InboundEdit) -> str:
    """What became of it: changed, unchanged (it came before), or unknown, if there is no such message of this customer's."""
    data = edited.message.data if edited.message else {}
    return _change(
        channel,
        account,
        edited.original_id,
        edited.message.external_user_id if edited.message else "",
        content=without_middle(edited.content, channel.max_inbound),
        data={name: value for name, value in data.items() if name != "quoted"},
        sent_at=edited.sent_at,
    )


def revoke(channel: Channel, account: Account, revoked: InboundRevoke) -> str:
    """The same of a deletion."""
    return _change(channel, account, revoked.original_id, revoked.external_user_id, content=None, data={}, sent_at=None)


def react(channel: Channel, account: Account, reaction: InboundReaction) -> str:
    """Keeps it with the message; unknown if that is not ours, or only a part of a long reply."""
    where = {"chatbot_id": account.chatbot_id, "channel": channel.name, "external_id": reaction.message_id[:MAX_ID]}
    rows = db.retry_on_outage(lambda: queries["react"].rows(**where, emoji=reaction.emoji[:MAX_EMOJI]), db.WEB_RETRY_SECONDS)
    return "changed" if rows else UNKNOWN


def _change(channel: Channel, account: Account, external_id: str, external_user_id: str, **change: Any) -> str:
    change |= {"chatbot_id": account.chatbot_id, "channel": channel.name, "external_user_id": external_user_id}
    change |= {"external_id": external_id, "data": db.json(change["data"])}
    row = db.retry_on_outage(lambda: queries["change_message"].row(**change), db.WEB_RETRY_SECONDS)
    changed: dict[str, Any] = (row or {})["change"]
    enqueue(tickets_of(changed["tickets"]))
    return str(changed["outcome"])
