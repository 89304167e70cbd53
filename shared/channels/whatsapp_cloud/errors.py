"""What Meta's error codes mean. To change what a code does, edit `ERRORS`.

Source: Meta's Cloud API reference, error codes. Branch on `code`, never on titles. The same table serves the answer to a send and
a failure that Meta reports by webhook after it accepted the message (webhook.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.channels.inbound import get_path, integer
from shared.channels.outcomes import Meaning, Outcome, Reason, error_of, report_unknown
from shared.http import PASSING, Response, code_of, number_of
from shared.http.pauses import LONGEST

_FAILED = Meaning(Outcome.UNKNOWN, Reason.PROVIDER_FAILED)
_APP_LIMIT = Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 30.0)
_TOKEN = Meaning(Outcome.HOLD, Reason.TOKEN_INVALID)
_PERMISSION = Meaning(Outcome.HOLD, Reason.PERMISSION_MISSING)
_RESTRICTED = Meaning(Outcome.HOLD, Reason.ACCOUNT_RESTRICTED)
_UNREGISTERED = Meaning(Outcome.HOLD, Reason.NOT_REGISTERED)
_PAYMENT = Meaning(Outcome.HOLD, Reason.PAYMENT_MISSING)
_UNREACHABLE = Meaning(Outcome.FAIL, Reason.RECIPIENT_UNREACHABLE)
_REFUSES = Meaning(Outcome.FAIL, Reason.RECIPIENT_REFUSES)
_MARKETING = Meaning(Outcome.FAIL, Reason.MARKETING_REFUSED)
_REQUEST = Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED)
_TEMPLATE = Meaning(Outcome.FAIL, Reason.TEMPLATE_REFUSED)
_MEDIA = Meaning(Outcome.RETRY, Reason.MEDIA_FAILED)

#: code -> what it means. One that is not here goes by its HTTP status and `is_transient` (`meaning_of`).
ERRORS: dict[int, Meaning] = {
    # The token, and what it may do.
    **dict.fromkeys((0, 102, 104, 190, 2500), _TOKEN),
    **dict.fromkeys((3, 10, *range(200, 300), 803, 131005), _PERMISSION),  # 803: no such number, as Graph says of an id
    # The account. 368: blocked for a violation; 131031: locked.
    **dict.fromkeys((368, 131031), _RESTRICTED),
    **dict.fromkeys((131037, 131045, 133000, 133005, 133006, 133008, 133009, 133010, 133015, 133016, 136024), _UNREGISTERED),
    **dict.fromkeys((131042, 131044, 134011), _PAYMENT),
    # Too much: refused before anything was done. The calls of the app (4), user, page, business account; of this API (613).
    **dict.fromkeys((4, 17, 32, 341, 613, 80007, 80008), _APP_LIMIT),
    130429: Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 5.0),  # the number's throughput
    131056: Meaning(Outcome.DELAY, Reason.RECIPIENT_RATE_LIMITED, 6.0),  # one message in 6 seconds to the same person
    131057: Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 30.0),  # the number is in maintenance, for up to a minute
    131048: Meaning(Outcome.FAIL, Reason.SPAM_LIMITED),
    # The recipient.
    131047: Meaning(Outcome.TEMPLATE, Reason.WINDOW_CLOSED),
    # 131043: it was not reached in time; from the table of Meta's older client, that of 2026 does not have it.
    **dict.fromkeys((131021, 131026, 131030, 131043, 131062), _UNREACHABLE),
    # 130497: messages to this country. 137000: the identity check, and the customer has another phone.
    **dict.fromkeys((130403, 130472, 130497, 137000), _REFUSES),
    **dict.fromkeys((131049, 131050, 131055, 131063, 131064, 134100), _MARKETING),
    # The request, by our fault; the template, by the business's.
    **dict.fromkeys((33, 100, 131008, 131009, 131051, 135000), _REQUEST),
    2635: _REQUEST,  # Meta has retired this version of the API
    131058: _TEMPLATE,  # hello_world is for the numbers that Meta lends
    **dict.fromkeys((132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068, 132069, 134102), _TEMPLATE),
    134101: Meaning(Outcome.DELAY, Reason.TEMPLATE_NOT_READY, 600.0),
    **dict.fromkeys((131052, 131053), _MEDIA),
    # A failure of Meta's. The message may have left.
    **dict.fromkeys((1, 2, 131000, 131016, 133004), _FAILED),
}
#: The subcode of 100 with which Graph says that the number is not there, or not for this token.
NO_SUCH_OBJECT = 33
#: HTTP 429 with a code that says nothing of waiting.
THROTTLED = Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 5.0)
_LATER = Meaning(Outcome.RETRY, Reason.PROVIDER_FAILED)
#: A header in which Meta says when a business has access again.
_USAGE = "X-Business-Use-Case-Usage"
_WAITS = frozenset({Outcome.SLOW, Outcome.DELAY})


def classify_error(answer: Response) -> Exception:
    """What a send stage raises for an answer that is not 2xx."""
    error = get_path(answer.json(), "error")
    error = error if isinstance(error, dict) else {}
    text = f"WhatsApp Cloud: HTTP {answer.status}" + (f", code {known}" if (known := known_code_of(error)) else "")
    meaning = meaning_of(answer.status, error)
    if meaning is _FAILED and _known_meaning(error) is None and answer.asks_to_wait:
        meaning = _LATER
    wait = answer.retry_after(_regained_in(answer) or meaning.seconds)
    return error_of(meaning, text, words_of(error) or answer.excerpt(), wait)


def _regained_in(answer: Response) -> float:
    """Seconds until an account has access again, as Meta says it beside a limit; 0 if it does not.

    X-Business-Use-Case-Usage: {"<WABA id>": [{"type": "whatsapp", …, "estimated_time_to_regain_access": 3}]}, in minutes.
    """
    try:
        usage = json.loads(answer.headers.get(_USAGE, ""))
    except (ValueError, RecursionError):
        return 0.0
    accounts = usage.values() if isinstance(usage, dict) else ()
    limits = [limit for limits in accounts if isinstance(limits, list) for limit in limits]
    minutes = [integer(get_path(limit, "estimated_time_to_regain_access")) or 0 for limit in limits]
    return float(min(LONGEST, 60 * max([0, *minutes])))


def _code(error: Mapping[str, Any]) -> Any:
    """The code; a number also where a business provider between Meta and us makes a text of it."""
    code = error.get("code")
    number = number_of(code) if isinstance(code, str) else None
    return code if number is None else number


def known_code_of(error: Mapping[str, Any]) -> str:
    """The code for a log, "" if what stands there is none: it may be anybody's words."""
    return code_of(_code(error))


def _known_meaning(error: Mapping[str, Any]) -> Meaning | None:
    code = _code(error)
    return ERRORS.get(code) if type(code) is int else None


def words_of(error: Mapping[str, Any]) -> str:
    """Meta's words for an error: its message or title, and the details."""
    parts = (error.get("message") or error.get("title"), get_path(error, "error_data", "details"))
    return ": ".join(str(part) for part in parts if part)


def most_telling(errors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of several errors of one message, the one to go by: one that `ERRORS` knows, and that says more than that Meta failed."""
    known = [error for error in errors if _known_meaning(error)]
    exact = [error for error in known if _known_meaning(error) is not _FAILED]
    return next(iter([*exact, *known, *errors]), {})


def meaning_of(status: int, error: Mapping[str, Any]) -> Meaning:
    """What an error means, with the HTTP status it came with; 200 for one that a webhook reports."""
    code, meaning = _code(error), _known_meaning(error)
    if meaning is _REQUEST and code == 100 and error.get("error_subcode") == NO_SUCH_OBJECT:
        return _PERMISSION
    if status == 429 and (meaning is None or meaning.outcome not in _WAITS):
        return THROTTLED
    if error.get("is_transient") is True and (meaning is None or meaning.outcome is Outcome.FAIL):
        return _LATER
    if meaning is not None:
        return meaning
    if status >= 500:
        return _FAILED
    if status == 401:  # a business provider between Meta and us says so in words of its own
        return _TOKEN
    if status in PASSING or not error:
        return _LATER
    return report_unknown("whatsapp_cloud", code_of(code), f"WhatsApp Cloud: HTTP {status}")
