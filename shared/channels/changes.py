"""What a customer does to an earlier message: changes its text, deletes it, reacts to it.

What that means for its answer is message_change_v4's (schema.sql). Channels keep no order: what is done to a message that has not
come yet is done when it comes (parked_change, message_accept_v4), or soon after (parked_reaction). What a colleague does on the
phone to what the business said is own_message_change_v2's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels.inbound import InboundAccount, InboundEdit, InboundMessage, InboundReaction, InboundRevoke
from shared.channels.kinds import Author, Kind
from shared.channels.registry import Channel
from shared.channels.words import in_words
from shared.db import sql
from shared.db.busy import attempts
from shared.db.pruning import delete_in_batches
from shared.errors import InvalidPayload, ServiceDown
from shared.payloads import MAX_ID, without_middle
from shared.privacy import marks

log = logging.getLogger(__name__)

queries = sql.load(__file__)

#: Characters of a reaction: emoji of several people have some.
MAX_EMOJI = 40
UNKNOWN, FOREIGN, KEPT = "unknown", "foreign", "kept"
#: Seconds for which a change waits for its message: Meta delivers again for seven days, and a day for clocks and queues.
KEEP_PARKED = 8 * 86_400.0
#: Seconds for which a reaction waits: most are to something old. How many wait of a chatbot, and how many one sweep looks at.
KEEP_REACTIONS, MOST_REACTIONS, REACTIONS_PAGE = 3_600.0, 1_000, 1_000
#: Seconds for which a caption waits for its picture, then it is a message by itself; those that are accepted at once.
PICTURE_WAIT, OVERDUE_PAGE = 120.0, 100
#: Attempts at a change: its message comes at the same moment, and the second finds it; or others are at work on the same rows.
TRIES = 20


def edit(channel: Channel, account: InboundAccount, edited: InboundEdit) -> str:
    """What became of it: changed; unchanged (it came before); foreign, if another customer wrote that message; unknown, if nobody
    did yet. One that is no message by itself, or a caption without its file, is kept then, until that comes. Raises ServiceDown
    if others were at work on the conversation all the time; then nothing has happened."""
    message, at = edited.message, edited.sent_at
    data, names = (message.data, [message.external_user_id, *message.identities]) if message else ({}, [])
    if edited.author is Author.COLLEAGUE:
        return _change_own(channel, account, edited.original_id, names, edited.content, at)
    content = in_words(_beside(channel, account, edited.original_id, data), edited.content)
    outcome = _change(
        channel,
        account,
        edited.original_id,
        names,
        content=without_middle(content, channel.max_inbound),
        data={name: value for name, value in data.items() if name != "quoted"},
        sent_at=at,
        is_kept=message is None or _lacks_its_file(message),
    )
    return outcome if names or outcome != UNKNOWN else _change_own(channel, account, edited.original_id, [], edited.content, at)


def _beside(channel: Channel, account: InboundAccount, external_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What stood beside the message, and the new text does not say again: the ad, the product."""
    where = {"chatbot_id": account.chatbot_id, "channel": channel.name, "external_id": external_id[:MAX_ID]}
    found = db.retry_on_outage(lambda: queries["beside"].scalar(**where), db.WEB_RETRY_SECONDS) or {}
    return {name: value for name, value in found.items() if name not in data}


def _lacks_its_file(message: InboundMessage) -> bool:
    """A caption's new words may come without the picture that they are of, which comes by itself."""
    return message.kind is Kind.MEDIA and not any(value for file in message.media for value in file.source.values())


def revoke(channel: Channel, account: InboundAccount, revoked: InboundRevoke) -> str:
    """The same of a deletion, which is always kept."""
    names = [name for name in (revoked.external_user_id, *revoked.identities) if name]
    if revoked.author is Author.COLLEAGUE:
        return _change_own(channel, account, revoked.original_id, names, None, None)
    outcome = _change(channel, account, revoked.original_id, names, content=None, data={}, sent_at=None, is_kept=True)
    return outcome if names or outcome != UNKNOWN else _change_own(channel, account, revoked.original_id, [], None, None)


def keep_as_message(payload: dict[str, Any]) -> None:
    """A caption that was kept is this message by itself, if its picture does not come (`accept_overdue`)."""
    named = {name: payload[name] for name in ("chatbot_id", "channel", "external_id")}
    db.retry_on_outage(lambda: queries["keep_as_message"].rows(**named, payload=db.json(payload)), db.WEB_RETRY_SECONDS)


def accept_overdue(accept: Callable[[list[dict[str, Any]]], Sequence[Any]]) -> int:
    """Accepts captions whose picture has not come, without it; returns how many. `accept`: QueueService.accept_messages."""
    payloads = [row["payload"] for row in queries["overdue"].rows(seconds=PICTURE_WAIT, limit=OVERDUE_PAGE)]
    if not payloads:
        return 0
    answers = accept(payloads)
    queries["settle_overdue"].rows(payloads=db.json(payloads))
    accepted = sum(1 for answer in answers if not isinstance(answer, InvalidPayload) and answer.new)
    if accepted:
        log.info("captions_accepted", extra={"count": accepted})
    return accepted


def prune() -> dict[str, int]:
    """Forgets changes and reactions whose messages never came; returns how many of each."""
    return {
        "parked_changes": delete_in_batches(queries["prune_parked"], age=KEEP_PARKED),
        "parked_reactions": delete_in_batches(queries["prune_reactions"], age=KEEP_REACTIONS),
    }


def react(channel: Channel, account: InboundAccount, reaction: InboundReaction) -> str:
    """Keeps it with the message, saved or not yet; or for a message that may come yet, or a reply whose id is not known yet."""
    where = {"chatbot_id": account.chatbot_id, "channel": channel.name, "external_id": reaction.message_id[:MAX_ID]}
    where["emoji"] = reaction.emoji[:MAX_EMOJI]
    # A message that is saved between the first two is found by the third.
    for query in (queries["react"], queries["react_to_accepted"], queries["react"]):
        if db.retry_on_outage(partial(query.rows, **where), db.WEB_RETRY_SECONDS):
            return "changed"
    where |= {"marks": marks.of_message(account.chatbot_id, reaction.message_id), "most": MOST_REACTIONS}
    return KEPT if db.retry_on_outage(lambda: queries["park_reaction"].rows(**where), db.WEB_RETRY_SECONDS) else UNKNOWN


def apply_late_reactions() -> None:
    """For the sweep: keeps reactions with their messages that are there by now."""
    queries["apply_reactions"].rows(page=REACTIONS_PAGE)


def _change(channel: Channel, account: InboundAccount, external_id: str, names: Sequence[str], **change: Any) -> str:
    change |= {"chatbot_id": account.chatbot_id, "channel": channel.name, "names": [name[:MAX_ID] for name in names]}
    change |= {"external_id": external_id[:MAX_ID], "data": db.json(change["data"])}
    change["marks"] = marks.of_message(account.chatbot_id, external_id)

    def attempt() -> str:
        changed = queries["change_message"].scalar(**change)
        enqueue(tickets_of(changed["tickets"]))
        return str(changed["outcome"])

    return _until_nobody_is_at_work(attempt)


def _change_own(
    channel: Channel, account: InboundAccount, external_id: str, names: Sequence[str], content: str | None, sent_at: float | None
) -> str:
    """What became of a change of what the business said: changed; kept, until it comes; unknown, if it is the customer's, or says
    so already. `names`: the customer's."""
    change: dict[str, Any] = {"chatbot_id": account.chatbot_id, "channel": channel.name, "external_id": external_id[:MAX_ID]}
    change |= {"content": without_middle(content, channel.max_inbound) if content else None, "sent_at": sent_at}
    change |= {"names": [name[:MAX_ID] for name in names], "marks": marks.of_message(account.chatbot_id, external_id)}
    return _until_nobody_is_at_work(lambda: str(queries["change_own_message"].scalar(**change)))


def _until_nobody_is_at_work(attempt: Callable[[], str]) -> str:
    for _ in attempts(TRIES):
        outcome = db.retry_on_outage(attempt, db.WEB_RETRY_SECONDS)
        if outcome != "again":
            return outcome
    raise ServiceDown("a message could not be changed, for its conversation is busy")
