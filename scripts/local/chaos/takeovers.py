"""People take conversations over while replies are about to leave; gateways report our own sends beside what colleagues write.

The scenario `takeovers` runs this beside kill -9. Its counts are exact: no reply leaves once a takeover has committed, each
colleague's message is there once, an echo of ours takes nothing over, and whoever asked last is answered in the end.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from scripts.local.chaos.disruptions import Target
from scripts.local.chaos.plan import chatbot_ids
from scripts.local.chaos.producer import retry_until_up
from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels import ownership
from shared.channels.whatsapp_qr.waha_content import bare_id
from shared.db import sql
from shared.db.credentials import encrypt
from shared.models import TelegramBot
from shared.queue_service import QueueService

queries = sql.load(__file__)

#: Threads in which people act; four acts of five take a conversation over, beside 20 messages a second.
PEOPLE = 10
#: Seconds for which a person waits at most before an act, so that takeovers meet replies at any moment: a call takes 0.3 s.
PAUSE = 0.4
#: Takeovers for a message of the load: 1,000 for 1,200.
TAKEOVERS = 1_000 / 1_200
#: Seconds after the load for takeovers that are still missing, on a slow machine: customers ask more until there are enough.
EXTRA_TIME = 120.0
#: Conversations that people have at the same time; the oldest goes back.
HELD = 10

#: The session whose gateway is Evolution; the others' is WAHA.
EVOLUTION = "session-1"
#: What a gateway sent last: it reports that beside its answer, faster or slower.
ECHOED = 3
_CONVERSATION_OF = """
    select chatbot_id, channel, external_user_id from conversation where channel = 'whatsapp_qr' and external_user_id = %s
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


def prepare(messages: int) -> None:
    """The history that the replies are judged by, how many takeovers there shall be, and the channels that the tenants lack."""
    for number, chatbot in enumerate(chatbot_ids()):
        with db.connection():
            TelegramBot.create(
                chatbot=chatbot,
                bot_id=str(700 + number),
                username=f"shop{number}_bot",
                token=encrypt(f"{700 + number}:{'t' * 35}"),
                webhook_secret=encrypt("secret"),
            )
    db.rows("update whatsapp_qr_session set dialect = 'evolution' where session_name = %s", [EVOLUTION])
    queries["keep_history"].rows()
    db.rows("create table takeovers_wanted as select %s::integer as count", [int(messages * TAKEOVERS)])
    db.rows(f"create table more_questions (number integer generated always as identity (start with {messages}))")


def take_over(target: Target) -> None:
    """People take over and give back, colleagues write on the phone, our own sends are echoed; each message twice"""
    held, numbers = deque[int](), itertools.count()
    seeds = [target.choice.randrange(2**32) for _ in range(PEOPLE)]
    people = [threading.Thread(target=_act, args=(target, Random(seed), numbers, held), daemon=True) for seed in seeds]
    for person in people:
        person.start()
    for person in people:
        person.join()
    while _rows("select from job where queue = 'incoming-messages' and closed_at is null and id > 0 limit 1"):
        time.sleep(0.5)  # what was written on the phone may not be saved yet
    for row in _rows("select id from conversation where owner <> 'bot'"):
        _give_back(row["id"])
    target.report(f"conversations taken over {_taken()} times")


def _act(target: Target, choice: Random, numbers: Iterator[int], held: deque[int]) -> None:
    """One person, until the load is over and enough was taken over."""
    wanted = _rows("select count from takeovers_wanted")[0]["count"]
    acts = (_by_api, _by_phone, _by_api, _echo, _by_api)
    over_at = float("inf")
    while time.monotonic() < over_at:
        time.sleep(choice.uniform(0, PAUSE))
        number = next(numbers)
        held += _tried(partial(acts[number % len(acts)], target, number, choice.uniform(0, PAUSE)))
        if len(held) > HELD:
            with suppress(IndexError):  # another thread was faster
                _give_back(held.popleft())
        if target.stopping.is_set():
            over_at = min(over_at, time.monotonic() + EXTRA_TIME) if _taken() < wanted else 0.0
            _ask_more()


def _ask_more() -> None:
    number = _rows("insert into more_questions default values returning number")[0]["number"]
    [row] = _rows("select chatbot_id, channel, external_user_id from conversation order by random() limit 1")
    message = {**row, "content": f"question number {number}", "external_id": f"in-{number}"}
    retry_until_up(lambda: QueueService().accept_message(message))


def _taken() -> int:
    return int(_rows("select count(*) from takeover_history where owner = 'person'")[0]["count"])


def _rows(statement: str) -> list[dict[str, Any]]:
    return retry_until_up(partial(db.rows, statement))


def _tried(act: Callable[[], Iterator[int]]) -> list[int]:
    return list(retry_until_up(lambda: list(act())))


def _assign(conversation_id: int, owner: str) -> None:
    with db.transaction():
        tickets = ownership.assign(conversation_id, owner, "api")
    enqueue(tickets_of(tickets))


def _give_back(conversation_id: int) -> None:
    retry_until_up(lambda: _assign(conversation_id, "bot"))


def _by_api(_target: Target, _number: int, wait: float) -> Iterator[int]:
    for row in queries["about_to_leave"].rows():
        time.sleep(wait)
        _assign(row["id"], "person")
        yield row["id"]


def _by_phone(_target: Target, number: int, wait: float) -> Iterator[int]:
    for row in queries["about_to_leave"].rows():
        if row["channel"].startswith("whatsapp_"):  # a bot of Telegram has no phone
            time.sleep(wait)
            for _ in range(2):  # as `message` and as `message.any`
                _reported(row, f"colleague-{number}", f"This is Ada, number {number}.")
            yield row["id"]


def _echo(target: Target, _number: int, _wait: float) -> Iterator[int]:
    gateways = [target.outside.simulator.record(kind) for kind in ("waha", "evolution")]
    for send in (send for record in gateways for send in [row for row in record if row["accepted"] and row["text"]][-ECHOED:]):
        rows = db.rows(_CONVERSATION_OF, [send["key"].partition("@")[0]])
        _reported(rows[0], bare_id(send["answered_id"]), send["text"])
    yield from ()


def _reported(row: dict[str, Any], external_id: str, content: str) -> None:
    """As a hook stores what was sent from the phone."""
    QueueService().accept_message(
        {
            "chatbot_id": row["chatbot_id"],
            "channel": row["channel"],
            "external_user_id": row["external_user_id"],
            "content": content,
            "external_id": external_id,
            "author": "colleague",
        }
    )


def message_of(send: Mapping[str, Any]) -> int | None:
    """Whose worker died before it kept the id that Telegram gave: a chat's replies leave one after another."""
    if send["kind"] != "telegram":
        return None
    claims = queries["claimed_before"].rows(chat_id=send["key"], at=send["at_ns"] / 1e9)
    return claims[0]["message_id"] if claims else None


def check(messages: int, sends: Mapping[int, Sequence[int]]) -> Iterator[str]:
    """What is wrong once everybody has gone home. `sends`: when the messages of ours that reached a provider arrived there."""
    saved = db.scalar("select count(distinct external_id) from message where role = 'user'")
    asked = messages + db.scalar("select count(*) from more_questions")
    if saved != asked:
        yield f"{saved} messages of customers instead of {asked}"
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
    wanted, taken = db.scalar("select count from takeovers_wanted"), _taken()
    if taken < wanted:
        yield f"{taken} takeovers instead of {wanted}"
    yield from _left_after_a_takeover(sends)


def _left_after_a_takeover(sends: Mapping[int, Sequence[int]]) -> Iterator[str]:
    """Replies of the bot's that a person's takeover, which had committed, did not keep from leaving."""
    claims: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for claim in queries["claims"].rows():
        claims[claim["message_id"]].append(claim)
    late = [message_id for message_id, of_message in claims.items() if _is_late(of_message, sends.get(message_id, ()))]
    if late:
        yield f"{len(late)} replies left after their conversation was taken over: {sorted(late)[:5]}"
    if unclaimed := sends.keys() - claims.keys():
        yield f"{len(unclaimed)} replies left without a claim: {sorted(unclaimed)[:5]}"
    stopped = {row["channel"] for row in db.rows("select distinct channel from message where status = 'SUPERSEDED'")}
    if missing := {"whatsapp_cloud", "whatsapp_qr", "telegram"} - stopped:
        yield f"nothing was superseded of {', '.join(sorted(missing))}; take more --messages"


def _is_late(claims: Sequence[dict[str, Any]], sends: Sequence[int]) -> bool:
    in_time: int = sum(claim["is_bots_turn"] for claim in claims)
    if claims[0]["channel"] == "widget":  # shown by the statement that decided so
        return in_time < len(claims)
    if claims[0]["is_ambiguous"]:  # a worker died with it: not which claim a send is of is known, but how many there may be
        return len(sends) > in_time
    return len(sends) > 0 and not claims[-1]["is_bots_turn"]
