"""Request limits: of a visitor, a chatbot's visitors, an address, an API key. Counted in Redis, over a sliding minute; files over
a sliding day.

While Redis is down nothing is counted: requests are accepted then as well, and PostgreSQL keeps what they bring.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from urllib.parse import urlsplit

import redis
from flask import request
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from werkzeug.exceptions import TooManyRequests

from shared.broker.connection import outage
from shared.broker.redis_broker import Broker, get_broker
from shared.config import settings
from web import turned_away
from web.widget.visitor import Visitor

log = logging.getLogger(__name__)

#: Wrong API keys that one address may send in a minute: enough for a server with a revoked key, too few for guessing.
WRONG_KEYS = 20
#: Wrong passwords of the desk or the dashboard, or wrong METRICS_TOKENs, of one address in a minute.
WRONG_LOGINS = 10
#: Wrong passwords for one account of the desk in a minute, from all addresses together.
WRONG_PASSWORDS = 10
#: E-mails with a new link that one account of the desk gets in a minute.
MAILS = 2
#: Invitations that a business sends in a minute.
INVITATIONS = 20
#: Of MEDIA_QUOTA_MB, what the visitors of one address may send to a business in a day: one part of so many, or this many MiB if
#: that is more.
QUOTA_PARTS, LEAST_OF_FILES = 10, 20
_GUESSING = "This address may send {} wrong logins"
#: Bits of an IPv6 address that name one household or server: it chooses the rest itself.
IPV6_SITE = 64


@lru_cache(maxsize=4)
def _limiter(broker: Broker) -> SlidingWindowCounterRateLimiter:
    pool = broker.client.connection_pool
    storage = RedisStorage(settings().redis_address, connection_pool=pool, key_prefix=f"{broker.namespace}:request-limit")
    return SlidingWindowCounterRateLimiter(storage)


def check_message(visitor: Visitor) -> None:
    """Counts a visitor's message. Raises TooManyRequests, which says when to try again.

    What one limit refuses does not count for the next: neither a visitor nor an address uses up what is the whole chatbot's.
    """
    conf = settings()
    address = f"address:{client_site()}:{visitor.chatbot_id}"
    with turned_away.noted(visitor.chatbot_id, "visitor"):
        _count(conf.widget_messages_per_minute, f"visitor:{visitor.ordering_key}", "This visitor may send {} messages")
    with turned_away.noted(visitor.chatbot_id, "address"):
        _count(conf.widget_address_messages_per_minute, address, "Visitors from this address may send {} messages")
    together = "All visitors of this chatbot together may send {} messages"
    try:
        with turned_away.noted(visitor.chatbot_id, "chatbot"):
            _count(conf.widget_chatbot_messages_per_minute, f"chatbot:{visitor.chatbot_id}", together)
    except TooManyRequests:
        _tell_of_chatbot(visitor.chatbot_id)
        raise


@contextmanager
def counted_file(visitor: Visitor, customer_id: int, size: int) -> Iterator[None]:
    """Counts the bytes of a visitor's file, which the block keeps. Raises TooManyRequests.

    A full quota refuses the files of a business's other channels, too, and files without a message count for a day: nobody
    should be able to fill it alone. One that is not kept fills nothing, and does not count.
    """
    limit = RateLimitItemPerDay(files_of_an_address())
    name, megabytes = f"files:{client_site()}:{customer_id}", math.ceil(size / 1024 / 1024)
    allowed = "Visitors from this address may send {} MiB of files"
    with turned_away.noted(visitor.chatbot_id, "files"):
        _count_in(limit, name, allowed, megabytes)
    try:
        yield
    except BaseException:
        _count_in(limit, name, allowed, -megabytes)
        raise


def files_of_an_address() -> int:
    """MiB of files that the visitors of one address may send to a business in a day."""
    return max(LEAST_OF_FILES, settings().media_quota // QUOTA_PARTS)


def check_session(chatbot_id: int) -> None:
    """Counts a new visitor of the request's address. Raises TooManyRequests."""
    limit = settings().widget_sessions_per_minute
    with turned_away.noted(chatbot_id, "sessions"):
        _count(limit, f"sessions:{client_site()}", "Visitors from this address may begin {} sessions")


def check_api_key(key_id: int) -> None:
    """Counts a request with this key. Raises TooManyRequests."""
    _count(settings().api_requests_per_minute, f"key:{key_id}", "This API key may make {} requests")


def api_key_headers(key_id: int) -> dict[str, str]:
    """What is left of a key's requests (draft-ietf-httpapi-ratelimit-headers); nothing while Redis is away."""
    limit = settings().api_requests_per_minute
    try:
        window = _limiter(get_broker()).get_window_stats(RateLimitItemPerMinute(limit), f"key:{key_id}")
    except redis.RedisError as problem:
        outage.noticed(problem)
        return {}
    seconds = max(0, math.ceil(window.reset_time - time.time()))
    return {"RateLimit-Policy": f'"requests";q={limit};w=60', "RateLimit": f'"requests";r={window.remaining};t={seconds}'}


def check_wrong_key() -> None:
    """Counts a wrong key of the request's address. Raises TooManyRequests. Good keys of the same address go on."""
    _count(WRONG_KEYS, f"wrong-keys:{client_site()}", "This address may send {} wrong API keys")


def check_guess(what: str) -> None:
    """Raises TooManyRequests while the request's address is guessing: then a right password is no use either."""
    _refuse_after(WRONG_LOGINS, _guesses(what), _GUESSING)


def count_guess(what: str) -> None:
    """Counts, and logs, a wrong password or token of the request's address. Raises TooManyRequests."""
    log.warning("wrong_login", extra={"login": what, "address": client_site()})
    _count(WRONG_LOGINS, _guesses(what), _GUESSING)


def check_login(account: str) -> None:
    """Raises TooManyRequests while an account of the desk is being guessed at, from wherever."""
    _refuse_after(WRONG_PASSWORDS, _logins(account), "This account may have {} wrong logins")


def count_login(account: str) -> None:
    """Counts a wrong password of an account. Raises TooManyRequests."""
    _count(WRONG_PASSWORDS, _logins(account), "This account may have {} wrong logins")


def check_mail(account: str) -> None:
    """Counts a request for a new password by e-mail. Raises TooManyRequests."""
    _count(WRONG_LOGINS, f"mails:{client_site()}", "This address may ask for {} new passwords")
    _count(MAILS, f"mails:{_logins(account)}", "This account may get {} e-mails")


def check_invitations(customer_id: int) -> None:
    """Counts an e-mail to whomever a business names. Raises TooManyRequests."""
    _count(INVITATIONS, f"invitations:{customer_id}", "A business may send {} invitations")


def _logins(account: str) -> str:
    """A hash, so that Redis keeps no e-mail addresses."""
    return f"wrong-passwords:{hashlib.sha256(account.strip().lower().encode()).hexdigest()[:32]}"


def _guesses(what: str) -> str:
    return f"wrong-logins:{what}:{client_site()}"


def _refuse_after(limit: int, name: str, allowed: str) -> None:
    """Raises TooManyRequests while as many were counted; counts nothing."""
    limiter, item = _limiter(get_broker()), RateLimitItemPerMinute(limit)
    try:
        wait = 0 if limiter.test(item, name) else _seconds_left(item, name)
    except redis.RedisError as problem:
        outage.noticed(problem)
        return
    if wait:
        raise _too_many(item, allowed, wait)


def _count(limit: int, name: str, allowed: str) -> None:
    _count_in(RateLimitItemPerMinute(limit), name, allowed)


def _count_in(item: RateLimitItem, name: str, allowed: str, cost: int = 1) -> None:
    limiter = _limiter(get_broker())
    try:
        is_allowed = limiter.hit(item, name, cost=cost)
        wait = 0 if is_allowed else _seconds_left(item, name)
    except redis.RedisError as problem:
        outage.noticed(problem)
        return
    if not is_allowed:
        raise _too_many(item, allowed, wait)


def _tell_of_chatbot(chatbot_id: int) -> None:
    """Logs, once a minute, that visitors are turned away who have done nothing wrong themselves."""
    with suppress(redis.RedisError):
        if _limiter(get_broker()).hit(RateLimitItemPerMinute(1), f"told:chatbot:{chatbot_id}"):
            log.warning("chatbot_limit_reached", extra={"chatbot_id": chatbot_id})


def _seconds_left(item: RateLimitItem, name: str) -> int:
    return max(1, math.ceil(_limiter(get_broker()).get_window_stats(item, name).reset_time - time.time()))


def _too_many(item: RateLimitItem, allowed: str, wait: int) -> TooManyRequests:
    said = f"{allowed.format(item.amount)} a {item.GRANULARITY.name}. Try again in {wait} s."
    return TooManyRequests(said, retry_after=wait)


def client_site() -> str:
    """The client's address, or its IPv6 site. Behind proxies the one that TRUSTED_PROXIES leads to."""
    if "X-Forwarded-For" in request.headers and not settings().trusted_proxies:
        _warn_of_proxies()
    return site_of(request.remote_addr or "")


def site_of(address_text: str) -> str:
    """What an address is counted as."""
    try:
        address = ip_address(_without_port(address_text))
    except ValueError:
        return "unknown"
    if isinstance(address, IPv4Address):
        return str(address)
    # A socket for both families sees IPv4 as ::ffff:1.2.3.4, all of it in one /64.
    return str(address.ipv4_mapped or ip_network((address, IPV6_SITE), strict=False))


def _without_port(address: str) -> str:
    """Some proxies forward `1.2.3.4:5678` and `[::1]:5678`."""
    return urlsplit(f"//{address}").hostname or "" if address.startswith("[") or address.count(":") == 1 else address


@lru_cache(maxsize=1)  # once
def _warn_of_proxies() -> None:
    log.warning("untrusted_proxy", extra={"advice": "all clients behind the proxy share one limit; set TRUSTED_PROXIES"})
