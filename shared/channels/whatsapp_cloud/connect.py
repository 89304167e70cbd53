"""Whether a number of Meta's is connected: its token, the number, where Meta sends what customers write, and what it tells.

Source: Graph API, debug_token, phone number, {app}/subscriptions (asked as the app: id|secret), {WABA}/phone_numbers and
{WABA}/subscribed_apps. Whoever has a token for which Graph shows a number has the number: Graph shows it to nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from shared.channels.checks import UNREADABLE, ProviderRefused, Step, asked
from shared.channels.inbound import get_objects, get_path, get_text
from shared.channels.outcomes import Reason
from shared.channels.whatsapp_cloud.errors import meaning_of, words_of
from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure
from shared.http import Response, get, post

HOOK = "/webhooks/whatsapp/cloud"
#: Without the first nothing arrives; without the others the bot talks over people, or does not know of templates.
FIELDS = (
    "messages",
    "smb_message_echoes",
    "standby",
    "messaging_handovers",
    "message_template_status_update",
    "message_template_quality_update",
    "template_category_update",
)
SEND = "whatsapp_business_messaging"
#: Permissions whose targets are WABAs.
_OF_BUSINESSES = (SEND, "whatsapp_business_management")
#: Seconds of one question: somebody looks at the page meanwhile.
TIMEOUT = 5.0
#: Seconds before its end from which on a token is about to end; the one of Meta's setup page lasts a day.
_SOON = 14 * 86_400
#: Business accounts of a token that are searched for the number.
_MAX_BUSINESSES = 5


def number_of(phone_number_id: str, token: str) -> str:
    """The number as people know it, if it is the token's. Raises ProviderRefused, and what shared.http raises."""
    about = _ask(f"{phone_number_id}?fields=id,display_phone_number,verified_name", token, "number_refused")
    number = get_text(about, "display_phone_number")
    if not get_text(about, "id"):
        raise OutsideFailure("Meta sent an answer that cannot be read")
    if get_text(about, "id") != phone_number_id or not number:
        raise ProviderRefused("number_refused", f"{phone_number_id} is no phone number's id")
    return " ".join(part for part in (number, get_text(about, "verified_name")) if part)


def business_of(phone_number_id: str, token: str, given: str) -> str:
    """The WhatsApp Business Account (WABA) that has the number: the one given, or one that the token names; "" if none does.

    A WABA is believed only where Graph lists the number in it: its templates are shown to whoever has it.
    """
    if given:
        return given if _has_number(given, phone_number_id, token) else ""
    for waba_id in _businesses(token):
        with suppress(ProviderRefused):  # nobody asked for this one
            if _has_number(waba_id, phone_number_id, token):
                return waba_id
    return ""


def _has_number(waba_id: str, phone_number_id: str, token: str) -> bool:
    listed = _ask(f"{quote(waba_id, safe='')}/phone_numbers?fields=id&limit=100", token, "business_refused")
    return any(get_text(one, "id") == phone_number_id for one in get_objects(get_path(listed, "data")))


def subscribe(waba_id: str, token: str) -> None:
    """Meta sends what happens in this WABA to the token's app. Again changes nothing. Raises as `number_of`."""
    _ask(f"{quote(waba_id, safe='')}/subscribed_apps", token, "not_subscribed", posts=True)


def subscribe_again(row: Mapping[str, Any]) -> str:
    """The same for an account that is connected; returns its WABA. Raises as `number_of`."""
    subscribe(row["waba_id"], _token_of(row))
    return str(row["waba_id"])


def check_secret(row: Mapping[str, Any], token: str, _site: str) -> dict[str, str]:
    """Raises as `number_of` for a token that is not of this number."""
    number_of(row["phone_number_id"], token)
    return {}


def leave(_row: Mapping[str, Any]) -> None:
    """Nothing: other numbers of the business account may need its subscription, and what still comes is refused."""


def steps(row: Mapping[str, Any], site: str) -> list[Step]:
    """Token, number, webhook, fields, subscription; as they are now."""
    about: dict[str, Any] = {}
    first = asked("token", lambda: _token(_token_of(row), about))
    if first.problem == UNREADABLE:
        return [first]
    token = _token_of(row)
    number = asked("number", lambda: number_of(row["phone_number_id"], token))
    if first.tone == "bad":
        return [first, number]
    app = get_text(about, "app_id")
    sent: dict[str, Any] = {}
    webhook = asked("webhook", lambda: _webhook(app, site + HOOK, sent))
    found = [first, number, webhook]
    if webhook.tone == "good":
        found.append(asked("fields", lambda: _fields(sent)))
    return [*found, asked("subscription", lambda: _subscription(row["waba_id"], app, token))]


def _token_of(row: Mapping[str, Any]) -> str:
    return decrypt(row["access_token"], f"number {row['phone_number_id']}")


def _token(token: str, about: dict[str, Any]) -> dict[str, str]:
    about.update(_debug(token))
    if about.get("is_valid") is not True:
        raise ProviderRefused("token_refused", "Meta does not take the token", get_text(about, "error", "message"))
    scopes = about.get("scopes")
    if isinstance(scopes, list) and SEND not in scopes:
        return {"problem": "token_without_permission", "found": SEND}
    ends = about.get("expires_at")
    if isinstance(ends, int) and 0 < ends < time.time() + _SOON:
        return {"problem": "token_ends", "found": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(ends))}
    return {}


def _debug(token: str) -> dict[str, Any]:
    about = get_path(_ask(f"debug_token?input_token={quote(token, safe='')}", token, "token_refused"), "data")
    return about if isinstance(about, dict) else {}


def _businesses(token: str) -> list[str]:
    """Those that the token was given. Other permissions name other things: Facebook pages, business portfolios."""
    scopes = [one for one in get_objects(_debug(token).get("granular_scopes")) if get_text(one, "scope") in _OF_BUSINESSES]
    named = [one for scope in scopes for one in scope.get("target_ids") or [] if isinstance(one, str) and one.isdigit()]
    return list(dict.fromkeys(named))[:_MAX_BUSINESSES]


def _webhook(app: str, callback: str, sent: dict[str, Any]) -> dict[str, str]:
    """Whether the token's app is the server's, and sends here. Meta keeps an address only after it has verified it."""
    secret = settings().whatsapp_app_secret
    if not secret or not settings().whatsapp_verify_token:
        return {"problem": "server_not_ready"}
    listed = _ask(f"{quote(app, safe='')}/subscriptions", f"{app}|{secret}", "other_app")
    subscriptions = get_objects(get_path(listed, "data"))
    sent.update(next((one for one in subscriptions if one.get("object") == "whatsapp_business_account"), {}))
    address = get_text(sent, "callback_url")
    if not address or sent.get("active") is False:
        return {"problem": "webhook_missing"}
    return {"found": address} if address == callback else {"problem": "webhook_elsewhere", "found": address}


def _fields(sent: Mapping[str, Any]) -> dict[str, str]:
    there = {get_text(one, "name") for one in get_objects(sent.get("fields"))}
    missing = [name for name in FIELDS if name not in there]
    if not missing:
        return {"found": ", ".join(FIELDS)}
    return {"problem": "messages_missing" if FIELDS[0] in missing else "fields_missing", "found": ", ".join(missing)}


def _subscription(waba_id: str | None, app: str, token: str) -> dict[str, str]:
    if not waba_id:
        return {"problem": "business_unknown"}
    listed = get_objects(get_path(_ask(f"{quote(waba_id, safe='')}/subscribed_apps", token, "business_refused"), "data"))
    apps = {get_text(one, "whatsapp_business_api_data", "id") for one in listed}
    return {"found": waba_id} if app in apps else {"problem": "not_subscribed", "found": waba_id}


def _ask(path: str, token: str, otherwise: str, *, posts: bool = False) -> Any:
    """What Graph answers. Raises ProviderRefused (`otherwise`, or that the token is refused), and what shared.http raises."""
    conf = settings()
    url, headers = f"{conf.graph_url}/{conf.graph_version}/{path}", {"Authorization": f"Bearer {token}"}
    try:
        answer = post(url, b"{}", headers, TIMEOUT) if posts else get(url, headers, TIMEOUT)
    except OutsideFailure as problem:
        raise problem from None  # a cause would name the address, which may hold a token
    if not answer.ok:
        raise _refusal(answer, otherwise)
    return answer.json()


def _refusal(answer: Response, otherwise: str) -> Exception:
    error = get_path(answer.json(), "error")
    error = error if isinstance(error, dict) else {}
    words = words_of(error) or answer.excerpt()
    is_tokens = otherwise != "other_app" and meaning_of(answer.status, error).reason == Reason.TOKEN_INVALID
    if answer.status >= 500 or answer.status == 429:
        return OutsideFailure(f"Meta answers HTTP {answer.status}", words)
    return ProviderRefused("token_refused" if is_tokens else otherwise, f"Meta refuses it: HTTP {answer.status}", words)
