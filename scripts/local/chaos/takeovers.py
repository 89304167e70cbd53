"""People take conversations over while replies are about to leave; gateways report our own sends beside what colleagues write.

The scenario `takeovers` runs this beside kill -9. Its counts are exact: no reply leaves that was not claimed when a person came,
each colleague's message is there once, an echo of ours takes nothing over, and whoever asked last is answered in the end.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Set
from functools import partial
from typing import Any

from scripts.local.chaos.disruptions import Target
from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels import ownership
from shared.channels.whatsapp_qr.gateway import own_id
from shared.queue_service import QueueService

#: Seconds between two acts: four of five take a conversation over, beside 20 messages a second.
PAUSE = 0.05
#: Conversations that people have at the same time; the oldest goes back.
HELD = 10

_SOME_CONVERSATION = """
    select id, chatbot_id, channel, external_user_id from conversation where owner = 'bot' order by random() limit 1
"""
#: Replies that are on their way or have just arrived: when gateways report them.
_SOME_SENDS = """
    select message.id, message.external_id, message.content, conversation.chatbot_id, conversation.channel, external_user_id
    from message join conversation on conversation.id = conversation_id
    where message.role = 'assistant' and message.channel = 'whatsapp_qr' and message.status in ('PENDING', 'SENT', 'DELIVERED')
        and (message.external_id is not null or exists (
            select from job where message_id = message.id and queue = 'whatsapp-qr-send' and state = 'active'))
    order by message.updated_at desc limit 3
"""
_WRONG = {
    "replies wait for ever": "select count(*) from message where status = 'PENDING'",
    "replies FAILED": "select count(*) from message where status = 'FAILED'",
    "of the customers' last questions have no answer, although the bot has all conversations again": """
        select count(*) from conversation, lateral (
            select id from message where conversation_id = conversation.id and role = 'user' order by id desc limit 1) last_one
        where not exists (select from message where conversation_id = conversation.id and role <> 'user'
            and status not in ('FAILED', 'SUPERSEDED', 'PENDING') and coalesce(reply_to, id) >= last_one.id)""",
    "conversations are not the bot's again": "select count(*) from conversation where owner <> 'bot'",
    "questions have two replies": """
        select count(*) from (select reply_to from message where reply_to is not null group by 1 having count(*) > 1) twice""",
    "conversations were taken over and given back a different number of times": """
        select count(*) from (
            select payload ->> 'conversation_id' as id from webhook_event
            where event in ('conversation.assigned', 'conversation.returned') group by 1
            having count(*) filter (where event = 'conversation.assigned')
                <> count(*) filter (where event = 'conversation.returned')) uneven""",
}


def take_over(target: Target) -> None:
    """People take over and give back, colleagues write on the phone, our own sends are echoed; each message twice"""
    service, held, taken = QueueService(), deque[int](), 0
    for number, act in enumerate(itertools.cycle((_by_api, _by_phone, _by_api, _echo, _by_api))):
        if target.stopping.wait(PAUSE):
            break
        conversations = _tried(partial(act, service, number))
        taken += len(conversations)
        held += conversations
        if len(held) > HELD:
            _give_back(held.popleft())
        if number % 200 == 199:
            target.report(f"conversations taken over {taken} times")
    while _rows("select from job where queue = 'incoming-messages' and closed_at is null and id > 0 limit 1"):
        time.sleep(0.5)  # what was written on the phone may not be saved yet
    for row in _rows("select id from conversation where owner <> 'bot'"):
        _give_back(row["id"])


def _rows(statement: str) -> list[dict[str, Any]]:
    return db.retry_on_outage(partial(db.rows, statement), seconds=60)


def _tried(act: Callable[[], Iterator[int]]) -> list[int]:
    return list(db.retry_on_outage(lambda: list(act()), seconds=60))


def _assign(conversation_id: int, owner: str) -> None:
    with db.transaction():
        tickets = ownership.assign(conversation_id, owner, "api")
    enqueue(tickets_of(tickets))


def _give_back(conversation_id: int) -> None:
    db.retry_on_outage(lambda: _assign(conversation_id, "bot"), seconds=60)


def _by_api(_service: QueueService, _number: int) -> Iterator[int]:
    for row in db.rows(_SOME_CONVERSATION):
        _assign(row["id"], "person")
        yield row["id"]


def _by_phone(service: QueueService, number: int) -> Iterator[int]:
    for row in db.rows(_SOME_CONVERSATION.replace("'bot'", "'bot' and channel <> 'widget'")):
        for _ in range(2):  # as `message` and as `message.any`
            _reported(service, row, f"colleague-{number}", f"This is Ada, number {number}.")
        yield row["id"]


def _echo(service: QueueService, _number: int) -> Iterator[int]:
    for row in db.rows(_SOME_SENDS):
        for identity in {own_id(row["id"]), row["external_id"] or own_id(row["id"])}:
            _reported(service, row, identity, row["content"])
    yield from ()


def _reported(service: QueueService, row: dict[str, Any], external_id: str, content: str) -> None:
    """As a hook stores what was sent from the phone."""
    service.accept_message(
        {
            "chatbot_id": row["chatbot_id"],
            "channel": row["channel"],
            "external_user_id": row["external_user_id"],
            "content": content,
            "external_id": external_id,
            "author": "colleague",
        }
    )


def check(messages: int, sent: Set[int]) -> Iterator[str]:
    """What is wrong once everybody has gone home. `sent`: the messages of ours that reached a provider."""
    saved = db.scalar("select count(distinct external_id) from message where role = 'user'")
    if saved != messages:
        yield f"{saved} messages of customers instead of {messages}"
    for what, count in _WRONG.items():
        if wrong := db.scalar(count):
            yield f"{wrong} {what}"
    written = Counter(row["external_id"] for row in db.rows("select external_id from message where role = 'agent'"))
    if foreign := [name for name in written if not name.startswith("colleague-")]:
        yield f"{len(foreign)} echoes of our own sends count as a colleague's: {foreign[:3]}"
    accepted = db.scalar(
        "select count(distinct payload ->> 'external_id') from job"
        " where queue = 'incoming-messages' and starts_with(payload ->> 'external_id', 'colleague-')"
    )
    if not 0 < accepted == sum(written.values()):
        yield f"{sum(written.values())} messages of colleagues are kept, of {accepted} that were accepted"
    # A send that a worker died with may have left before the takeover.
    superseded = {
        row["id"]
        for row in db.rows(
            "select id from message where status = 'SUPERSEDED' and not exists ("
            " select from job where message_id = message.id and outcome_unknown_since is not null)"
        )
    }
    if left := superseded & sent:
        yield f"{len(left)} superseded replies left: {sorted(left)[:5]}"
    if not superseded:
        yield "nothing was superseded; take more --messages"
