"""Accounts fail while replies leave: a token expires, a phone is logged out, a gateway is dead and does not say so, files cannot
be fetched. Each is another business's, so that they happen at the same time.

The scenario `accounts` runs this beside kill -9. Its counts are exact: every message has one reply, every reply has left, once,
and of each trouble the business is told twice: when it begins and when it is over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from scripts.local.chaos.disruptions import Target
from scripts.local.chaos.plan import chatbot_ids
from shared import db
from shared.channels import accounts, health
from shared.channels.inbound import SessionState
from shared.channels.whatsapp_qr import acks, session
from shared.queue_service import QueueService

#: Seconds for which an account stays as it is once that is known, so that replies wait.
LASTS = 10.0
#: Seconds for which the server of files fails, and how many messages come with one.
MEDIA_LASTS, PICTURES = 60.0, 10
#: Seconds for which a reply's acknowledgement is waited for; a minute outside of here.
PATIENCE = 15.0
#: Seconds within which each thing has to happen.
LIMIT = 120.0
#: Calls that may try an account that is known to be down, and seconds from the first refusal until that is known to everybody:
#: calls that were under way hear it, too.
MOST_CALLS, KNOWN_AFTER = 3, 5.0

NUMBER, LOGGED_OUT, DEAD = ("whatsapp_cloud", 0), ("whatsapp_qr", 1), ("whatsapp_qr", 2)
_TROUBLES = (NUMBER, LOGGED_OUT, DEAD)


def expire_token(target: Target) -> None:
    """A token expires and is replaced"""
    account = _account(*NUMBER)
    _begun(target, account)
    with target.outside.failing({"kind": "graph", "fault": "revoked", "match": f"/{account.name}/", "token": "Bearer token"}):
        target.expect(lambda: _is_down(account), LIMIT, "the expired token was not noticed")
        target.report(f"the token of {account.name} has expired")
        time.sleep(LASTS)
        with db.transaction():
            accounts.replace_secret(account, "renewed")
            health.connected(account)
        target.report(f"{account.name} has a new token")
        time.sleep(LASTS)  # whoever read the old one asks with it now
    _count_refused(target, "graph", 401)


def log_out(target: Target) -> None:
    """A phone is logged out, and in again"""
    account = _account(*LOGGED_OUT)
    _begun(target, account)
    with target.outside.failing({"kind": "waha", "fault": "offline", "match": account.name}):
        target.expect(lambda: _is_down(account), LIMIT, "the lost session was not noticed")
        target.report(f"{account.name} is logged out")
        time.sleep(LASTS)
    _report_working(account)
    target.report(f"{account.name} is logged in")
    _count_refused(target, "waha", 422)


def die_silently(target: Target) -> None:
    """A gateway takes replies and sends none, until it is restarted"""
    account, receiver = _account(*DEAD), target.outside.receiver
    assert receiver is not None, "the scenario has statuses"
    acked = "select acked_at from whatsapp_qr_session where session_name = %s"
    target.expect(lambda: db.scalar(acked, [account.name]) is not None, LIMIT, "nothing was acknowledged")
    receiver.silent.add(account.name)
    target.report(f"{account.name} is dead, and says that it works")
    target.expect(lambda: acks.watch(PATIENCE) > 0 and _is_down(account), LIMIT, "the dead gateway was not noticed")
    target.report(f"{account.name} is known to be dead")
    time.sleep(LASTS)
    receiver.silent.clear()
    _report_working(account)
    target.report(f"{account.name} is restarted")


def lose_files(target: Target) -> None:
    """Files cannot be fetched for a minute"""
    service, chatbot = QueueService(), chatbot_ids()[1]
    with target.outside.failing({"kind": "graph_media", "fault": "status", "status": 503}):
        target.report("the server of files fails")
        for number in range(PICTURES):
            service.accept_message(
                {
                    "chatbot_id": chatbot,
                    "channel": "whatsapp_cloud",
                    "external_user_id": f"48{number:08}",
                    "content": "[image]",
                    "external_id": f"picture-{number}",
                    "kind": "media",
                    "media": [{"kind": "image", "mime": "image/png", "source": {"id": f"picture-{number}"}}],
                }
            )
        time.sleep(MEDIA_LASTS)
    target.report("the server of files works")


def _account(name: str, tenant: int) -> health.ChannelAccount:
    chatbot = chatbot_ids()[tenant]
    found = accounts.find(None, name, chatbot)
    assert found is not None, "seed_tenants connects every tenant"
    return found


def _begun(target: Target, account: health.ChannelAccount) -> None:
    """Until a reply has left by this account."""
    sent = "select from message where chatbot_id = %s and channel = %s and role = 'assistant' and status <> 'PENDING' limit 1"
    target.expect(lambda: db.rows(sent, [account.chatbot_id, account.channel.name]), LIMIT, f"nothing left by {account.name}")


def _is_down(account: health.ChannelAccount) -> bool:
    return health.why_down(account) is not None


def _report_working(account: health.ChannelAccount) -> None:
    """As the gateway's webhook does."""
    of_session = session.account_of(session.find(account.name))
    assert of_session is not None
    session.report(of_session, SessionState(raw={}, connected=True, detail="WORKING", at=time.time()))


def _count_refused(target: Target, kind: str, status: int) -> None:
    refused = [row["at_ns"] for row in target.outside.simulator.record(kind) if row["status"] == status]
    late = sum(at > min(refused) + KNOWN_AFTER * 1e9 for at in refused)
    if late > MOST_CALLS:
        target.wrong.append(f"{late} calls of {kind} tried an account that was known to be down, not at most {MOST_CALLS}")


def check(messages: int, sent: Mapping[int, Sequence[int]]) -> Iterator[str]:
    """What is wrong once all accounts work again. `sent`: the messages that reached a provider."""
    expected = messages + PICTURES
    for what, count in _COUNTED.items():
        if (counted := db.scalar(count)) != expected:
            yield f"{counted} {what} instead of {expected}"
    to_provider = {row["id"] for row in db.rows("select id from message where role = 'assistant' and channel <> 'widget'")}
    if unsent := to_provider - sent.keys():
        yield f"{len(unsent)} replies never reached their provider: {sorted(unsent)[:5]}"
    if (stored := db.scalar("select count(*) from media where state = 'stored'")) != PICTURES:
        yield f"{stored} pictures are stored, of {PICTURES}"
    reported = {(row["channel"], row["chatbot_id"]): row["events"] for row in db.rows(_TOLD)}
    for name, tenant in _TROUBLES:
        if (events := reported.pop((name, chatbot_ids()[tenant]), None)) != ["channel.down", "channel.up"]:
            yield f"of {name} of tenant {tenant} the events were {events}"
    if reported:
        yield f"accounts that worked are reported: {reported}"


_COUNTED = {
    "messages of customers": "select count(distinct external_id) from message where role = 'user'",
    "replies": "select count(*) from message where role = 'assistant' and reply_to is not null",
    "replies that left": "select count(*) from message where role = 'assistant' and status in ('SENT', 'DELIVERED', 'READ')",
}
_TOLD = """
    select payload ->> 'channel' as channel, (payload ->> 'chatbot_id')::bigint as chatbot_id,
        array_agg(event order by id) as events
    from webhook_event where event in ('channel.down', 'channel.up') group by 1, 2
"""
