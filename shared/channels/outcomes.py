"""From a provider's answer to what happens: the words in which each channel's table of errors is written.

A channel's table says for each code of its provider a `Meaning`: what happens to the send (`Outcome`), and why, in a code of ours
(`Reason`) that is kept beside the provider's own words and shown to the business in words (`EXPLANATIONS`). Failures that come by
webhook go through the same table. A code that no table knows is UNKNOWN_CODE: the message fails, and the log says so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.errors import OutcomeUnknown, OutsideFailure, PermanentRefusal, Snooze
from shared.telemetry import metrics

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What happens to a send that was refused."""

    #: The provider failed, and nothing has left: costs an attempt.
    RETRY = "retry"
    #: It may have left all the same: costs an attempt, and the next one first waits for a status (earlier_sends.py).
    UNKNOWN = "unknown"
    #: The account sends too fast: all of its replies wait. Costs no attempt, as the next two.
    SLOW = "slow"
    #: This recipient gets too many: the conversation waits.
    DELAY = "delay"
    #: The account cannot send (shared/channels/health.py): its replies are held until it can.
    HOLD = "hold"
    #: It will never pass: the message is FAILED at once.
    FAIL = "fail"
    #: The same; but an approved template may be sent instead.
    TEMPLATE = "template"


class Reason(StrEnum):
    """Why, as it is stored (`error_code` of a message, the reason of an account's state) and shown by the API."""

    TOKEN_INVALID = "token_invalid"
    PERMISSION_MISSING = "permission_missing"
    ACCOUNT_RESTRICTED = "account_restricted"
    ACCOUNT_BANNED = "account_banned"
    NOT_REGISTERED = "not_registered"
    PAYMENT_MISSING = "payment_missing"
    SESSION_OFFLINE = "session_offline"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    QUALITY_LOW = "quality_low"
    ACCOUNT_ALERT = "account_alert"
    NOT_CONNECTED = "not_connected"
    HELD_TOO_LONG = "held_too_long"
    RATE_LIMITED = "rate_limited"
    RECIPIENT_RATE_LIMITED = "recipient_rate_limited"
    SPAM_LIMITED = "spam_limited"
    NEW_CHATS_REFUSED = "new_chats_refused"
    WINDOW_CLOSED = "window_closed"
    RECIPIENT_UNREACHABLE = "recipient_unreachable"
    RECIPIENT_REFUSES = "recipient_refuses"
    MARKETING_REFUSED = "marketing_refused"
    TEMPLATE_REFUSED = "template_refused"
    TEMPLATE_NOT_READY = "template_not_ready"
    REQUEST_REFUSED = "request_refused"
    MEDIA_FAILED = "media_failed"
    FILE_GONE = "file_gone"
    PROVIDER_FAILED = "provider_failed"
    PROVIDER_UNREACHABLE = "provider_unreachable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    REPORTED_FAILURE = "reported_failure"
    UNKNOWN_CODE = "unknown_code"


#: What a business reads: what is wrong, and what to do.
EXPLANATIONS: dict[Reason, str] = {
    Reason.TOKEN_INVALID: "The access token is not valid any more. Connect the channel again with a new one; its replies wait.",
    Reason.PERMISSION_MISSING: "The access token lacks a permission for this number. Connect the channel with one that has it.",
    Reason.ACCOUNT_RESTRICTED: "The provider has restricted the account. See what its business manager says; replies wait.",
    Reason.ACCOUNT_BANNED: "The provider has disabled the account. Appeal in its business manager; replies wait.",
    Reason.NOT_REGISTERED: "The number is not registered to send. Register it at the provider; replies wait.",
    Reason.PAYMENT_MISSING: "The provider wants a payment method. Add or repair it in its business manager; replies wait.",
    Reason.SESSION_OFFLINE: "The phone's session is not connected. Open WhatsApp on the phone, or scan the QR code again.",
    Reason.NOT_ACKNOWLEDGED: "The gateway takes replies, but reports none as sent. Restart its session. If replies arrive, have "
    "it report acknowledgements (WAHA: message.ack, Evolution: MESSAGES_UPDATE), and connect the channel again.",
    Reason.QUALITY_LOW: "The provider reports a low quality of the number, and may lower its limits. Send less unasked.",
    Reason.ACCOUNT_ALERT: "The provider has an alert about the account. See its business manager.",
    Reason.NOT_CONNECTED: "The chatbot has no active account on this channel. Connect one, and send again.",
    Reason.HELD_TOO_LONG: "The channel could not send for so long that the reply was given up.",
    Reason.RATE_LIMITED: "The account sends more than the provider allows. Wait, or ask the provider for a higher limit.",
    Reason.RECIPIENT_RATE_LIMITED: "The recipient was sent too many messages in a short time.",
    Reason.SPAM_LIMITED: "The provider takes the number's messages for spam. Do not repeat them; see the number's quality.",
    Reason.NEW_CHATS_REFUSED: "WhatsApp lets the number answer people who write to it, and start no chats, for some days.",
    Reason.WINDOW_CLOSED: "The customer has not written for 24 hours. Send an approved template instead.",
    Reason.RECIPIENT_UNREACHABLE: "The recipient cannot be reached there: no such user, or an old app.",
    Reason.RECIPIENT_REFUSES: "The recipient, or a setting of the business, blocks these messages.",
    Reason.MARKETING_REFUSED: "The provider did not deliver a marketing message to this recipient. Do not repeat it today.",
    Reason.TEMPLATE_REFUSED: "The template, its language or its parameters are not as approved, or it was paused or disabled.",
    Reason.TEMPLATE_NOT_READY: "The provider is still preparing the template. It is tried again in some minutes.",
    Reason.REQUEST_REFUSED: "The provider does not accept the request as it is. The operator has to look at it.",
    Reason.MEDIA_FAILED: "The provider could not take or fetch the file.",
    Reason.FILE_GONE: "The file was deleted before it could leave. Send it as a new message.",
    Reason.PROVIDER_FAILED: "The provider had a failure of its own.",
    Reason.PROVIDER_UNREACHABLE: "The provider could not be reached.",
    Reason.OUTCOME_UNKNOWN: "The provider did not answer, so the message may have arrived or not.",
    Reason.REPORTED_FAILURE: "The gateway reports that the message failed; what it says of it stands beside this, if anything.",
    Reason.UNKNOWN_CODE: "The provider refused it with a code that is not known. The operator has to look at it.",
}

#: Those that do not say what is wrong: people read the provider's own words beside them.
TOLD_IN_WORDS = frozenset({Reason.REQUEST_REFUSED, Reason.REPORTED_FAILURE, Reason.UNKNOWN_CODE})


@dataclass(frozen=True)
class Meaning:
    """What a code of a provider means. `seconds`: how long to wait (SLOW, DELAY), where the answer has no Retry-After."""

    outcome: Outcome
    reason: Reason
    seconds: float = 0.0


#: What a code means that no table knows.
UNKNOWN_CODE = Meaning(Outcome.FAIL, Reason.UNKNOWN_CODE)


class ProviderFailed(OutsideFailure):
    """The provider failed; it may do better next time."""


class Slowed(Snooze):
    """The account sends too fast, or its provider says when it is back: all of its replies wait for `delay` seconds."""


class AccountDown(Snooze):
    """The account cannot send. `words` are the provider's, for those whose account it is."""

    def __init__(self, reason: Reason, text: str, words: str) -> None:
        super().__init__(0.0, text, reason)
        self.reason, self.words = reason, words


def error_of(meaning: Meaning, text: str, words: str, retry_after: float | None = None) -> Exception:
    """The exception by which a send stage hears what a refusal means.

    `text` is ours, for logs and the job; `words` are the provider's, for the message. `retry_after`: as the provider says.
    """
    wait = meaning.seconds if retry_after is None else retry_after
    match meaning.outcome:
        case Outcome.SLOW:
            return Slowed(wait, text, meaning.reason)
        case Outcome.DELAY:
            return Snooze(wait, text, meaning.reason)
        case Outcome.HOLD:
            return AccountDown(meaning.reason, text, words)
        case Outcome.RETRY if wait:  # it says when: until then a further attempt would be in vain
            return Slowed(wait, text, meaning.reason)
        case Outcome.RETRY:
            return with_code(ProviderFailed(text, words), meaning.reason)
        case Outcome.UNKNOWN:
            return with_code(OutcomeUnknown(text, words), meaning.reason)
    return with_code(PermanentRefusal(text, words), meaning.reason)


def with_code(failure: OutsideFailure, reason: Reason) -> OutsideFailure:
    """The failure, with the code that its message keeps."""
    failure.error_code = reason.value
    return failure


def explanation(code: str | None) -> str | None:
    """A stored code in words; None for one that this version does not know."""
    return EXPLANATIONS[Reason(code)] if code in set(Reason) else None


def report_unknown(channel: str, code: Any, text: str) -> Meaning:
    """A code that no table knows: somebody has to add it. Counted and logged as an error, and the message fails."""
    metrics.increment("unknown_codes", channel)
    log.error("provider_code_unknown", extra={"channel": channel, "code": code, "error": text})
    return UNKNOWN_CODE
