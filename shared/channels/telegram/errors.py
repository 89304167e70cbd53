"""What Telegram's errors mean. To change what one does, edit `ERRORS` or `WORDS`.

Source: Bot API, making requests; the codes are those of HTTP, and a 400 is told apart by its words only.
"""

from __future__ import annotations

from shared.channels.inbound import get_path
from shared.channels.outcomes import Meaning, Outcome, Reason, error_of, report_unknown
from shared.channels.telegram.api import description_of
from shared.http import PASSING, REDIRECTS, Response, retry_after

_TOKEN = Meaning(Outcome.HOLD, Reason.TOKEN_INVALID)
_UNREACHABLE = Meaning(Outcome.FAIL, Reason.RECIPIENT_UNREACHABLE)
_REFUSES = Meaning(Outcome.FAIL, Reason.RECIPIENT_REFUSES)
_REQUEST = Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED)

#: HTTP status -> what it means.
ERRORS: dict[int, Meaning] = {
    400: _REQUEST,
    401: _TOKEN,  # revoked
    404: _TOKEN,  # no token at all
    403: _REFUSES,  # the customer has blocked the bot
    413: _REQUEST,
    # Telegram does not say whether the chat or the bot is too fast, and asks for nothing but the pause.
    420: Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 5.0),  # of a Bot API server of one's own: FLOOD_WAIT
    429: Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 5.0),
}
#: What a 400 or a 403 says -> what it means.
WORDS: dict[str, Meaning] = {
    "chat not found": _UNREACHABLE,
    "user not found": _UNREACHABLE,
    "peer_id_invalid": _UNREACHABLE,
    "group chat was upgraded": _UNREACHABLE,
    "deactivated": _UNREACHABLE,  # the account was deleted
    "user_is_blocked": _REFUSES,
    "chat_write_forbidden": _REFUSES,
    "no rights to send": _REFUSES,
    "not enough rights": _REFUSES,
    "logged out": _TOKEN,  # the bot was moved to a Bot API server of one's own
    "payment_required": _REFUSES,  # the customer wants to be paid for messages
    "privacy_premium_required": _REFUSES,  # the customer hears from people with a subscription only
}
#: A failure of Telegram's. The message may have left.
_FAILED = Meaning(Outcome.UNKNOWN, Reason.PROVIDER_FAILED)
#: What passes by itself: of a proxy or a Bot API server of one's own.
_LATER = Meaning(Outcome.RETRY, Reason.PROVIDER_FAILED)
#: Statuses whose meaning is the customer's or the message's only where Telegram says it. A proxy has others for them.
_READ = frozenset({400, 403})


def classify_error(answer: Response) -> Exception:
    """What a send stage raises for an answer that is not 2xx."""
    words, text = description_of(answer), f"Telegram: HTTP {answer.status}"
    if answer.status >= 500 and answer.asks_to_wait:
        meaning = _LATER
    else:
        meaning = _meaning_of(answer.status, words, text, get_path(answer.json(), "ok") is False)
    pause = str(get_path(answer.json(), "parameters", "retry_after"))
    return error_of(meaning, text, words, retry_after(pause, answer.retry_after(meaning.seconds)))


def _meaning_of(status: int, words: str, text: str, is_telegrams: bool) -> Meaning:
    if status >= 500:
        return _FAILED
    if status in PASSING | REDIRECTS or (status in _READ and not is_telegrams):
        return _LATER
    said = words.lower() if status in (400, 403) else ""
    by_words = next((meaning for part, meaning in WORDS.items() if part in said), None)
    return by_words or ERRORS.get(status) or report_unknown("telegram", status, text)
