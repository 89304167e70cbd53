"""What operators' pages call queues, error codes, verdicts and steps."""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from shared.channels.registry import CHANNELS
from shared.queues import Queue
from web.desk.message_words import CHANNEL_NAMES, STATUSES

#: The stage that sends a channel's replies is called as the channel.
QUEUES: Mapping[str, LazyString] = {
    Queue.INCOMING: _l("Incoming messages"),
    Queue.MEDIA: _l("Files of messages"),
    Queue.AI: _l("AI answers"),
    Queue.OUTGOING: _l("Outgoing messages"),
    **{channel.send_queue: CHANNEL_NAMES[name] for name, channel in CHANNELS.items() if channel.send_queue},
    Queue.WEBHOOKS: _l("Webhooks"),
    Queue.KNOWLEDGE_IMPORT: _l("Knowledge import"),
    Queue.KNOWLEDGE_EMBEDDING: _l("Knowledge vectors"),
}

CODES: Mapping[str, LazyString] = {
    "token_invalid": _l("the token has expired or is refused"),
    "permission_missing": _l("the token lacks a permission"),
    "account_restricted": _l("the provider has restricted the account"),
    "account_banned": _l("the provider has disabled the account"),
    "not_registered": _l("the number is not registered"),
    "payment_missing": _l("the provider wants a payment method"),
    "session_offline": _l("the phone’s session is not connected"),
    "not_connected": _l("no account is connected"),
    "held_too_long": _l("the channel could not send for too long"),
    "rate_limited": _l("more than the provider allows"),
    "window_closed": _l("the 24 hours were over"),
    "recipient_unreachable": _l("the recipient cannot be reached"),
    "recipient_refuses": _l("the recipient blocks it"),
    "template_refused": _l("the template is not as approved"),
    "request_refused": _l("the request was refused"),
    "media_failed": _l("the file could not be taken"),
    "provider_failed": _l("the provider failed"),
    "provider_unreachable": _l("the provider could not be reached"),
    "outcome_unknown": _l("nobody knows whether it arrived"),
    "unknown_code": _l("a code that is not known"),
    "poison": _l("poison: it killed its workers"),
    "bad_payload": _l("the job’s data is broken"),
    "deleted": _l("an operator gave it up"),
    "other": _l("another error"),
}

#: Why a failure is not replayed; `ready` is.
VERDICTS: Mapping[str, LazyString] = {
    "ready": _l("will be sent"),
    "outcome_unknown": _l("may have arrived"),
    "answered": _l("a person has answered since"),
    "delivered": _l("arrived after all"),
    "window_closed": _l("24 hours are over: only a template may be sent"),
    "channel_down": _l("the channel still cannot send"),
    "closed": _l("the conversation was closed"),
    "endpoint_off": _l("the endpoint was switched off"),
    "under_way": _l("another attempt is under way"),
    "gone": _l("the message or its job’s record is gone"),
    "not_repeatable": _l("the business repeats it itself, under Knowledge or by sending the file again"),
    "done": _l("was replayed or ignored meanwhile"),
    "busy": _l("a worker had it in hand at that moment"),
}

#: How far back the list goes; other times may be in its address.
PERIODS: Mapping[str, LazyString] = {
    "1h": _l("the last hour"),
    "6h": _l("the last 6 hours"),
    "1d": _l("the last 24 hours"),
    "7d": _l("the last 7 days"),
}

STATES: Mapping[str, LazyString] = {
    "open": _l("open"),
    "replayed": _l("replayed"),
    "answered": _l("settled by itself"),
    "ignored": _l("ignored"),
}

STEPS: Mapping[str, LazyString] = {
    "written": _l("Written by the customer"),
    "received": _l("Received"),
    "stored": _l("Stored"),
    "media": _l("Files fetched"),
    "merged": _l("Merged with other messages"),
    "kept": _l("Kept, not answered"),
    "waiting": _l("Waiting for the AI"),
    "ai": _l("Answered by the AI"),
    "outgoing": _l("Handed to its channel"),
    "sending": _l("Sent to the provider"),
    "sent": _l("Sent"),
    "delivered": _l("Delivered"),
    "read": _l("Read"),
    "failed": _l("Failed for good"),
    "superseded": _l("Superseded: a person or an edit came first"),
}

#: Who wrote a message.
ROLES: Mapping[str, LazyString] = {
    "user": _l("of the customer"),
    "assistant": _l("of the bot"),
    "agent": _l("of a person"),
}

JOB_STATES: Mapping[str, LazyString] = {
    "waiting": _l("waiting"),
    "delayed": _l("waiting for its time"),
    "active": _l("running"),
    "completed": _l("done"),
    "failed": _l("failed for good"),
}

#: What does not work while a check of /readyz says something else than "ok".
CHECKS: Mapping[str, LazyString] = {
    "postgres": _l("PostgreSQL is not well. While it takes no writes, messages are refused, and their channels send them again."),
    "redis": _l("Redis takes no writes. Messages are accepted and wait; they are answered once it does, and nothing is lost."),
    "storage": _l("Files of messages cannot be stored."),
    "credentials": _l("CREDENTIALS_KEY does not open what is stored: channels and providers lack their tokens."),
    "sweep": _l("The sweep is late. Jobs that it would hand out wait."),
    "scheduler": _l("The process type scheduler does not run. What is due each minute waits."),
    "workers": _l("Some queues have no worker. Their jobs wait."),
}

#: Priorities by the customer's plan.
LANES: Mapping[int, LazyString] = {1: _l("premium lane"), 3: _l("pro lane"), 5: _l("basic lane")}


def code(error_code: str) -> str:
    """An error code in words."""
    if error_code.startswith("http_"):
        return str(_("answered HTTP %(status)s", status=error_code[5:]))
    return str(CODES.get(error_code) or error_code.replace("_", " "))


def said(word: str) -> str:
    """What a hit of the search is, or how it stands."""
    known = (QUEUES, CHANNEL_NAMES, ROLES, STATUSES, JOB_STATES)
    return str(next((words[word] for words in known if word in words), word))
