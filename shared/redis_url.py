"""REDIS_URL as redis-py reads it, but only with options that suit us: others it takes as text, and fails when it connects.

Texts show no value: it may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from shared.setting_checks import has_valid_port

_EXAMPLE = "redis://host:6379/0"
_YES_OR_NO = ("true", "false", "yes", "no", "1", "0")
#: The most seconds for an answer: a Redis that is gone must be noticed.
_LONGEST = 60.0


def _is_seconds(text: str) -> bool:
    return re.fullmatch(r"\d{1,3}(\.\d+)?", text) is not None and 0 < float(text) <= _LONGEST


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def _is_yes_or_no(text: str) -> bool:
    return text.lower() in _YES_OR_NO


_SECONDS = (_is_seconds, f"a number of seconds, up to {_LONGEST:.0f}")
_FLAG = (_is_yes_or_no, "true or false")
_FILE = (os.path.isfile, "a file that is there")
_TEXT = (bool, "a text")
#: The options of every address: what each may be, and how that is said.
_OPTIONS: dict[str, tuple[Callable[[str], bool], str]] = {
    "db": (_matches(r"\d{1,5}"), "the number of a database"),
    "username": _TEXT,
    "password": _TEXT,
    "socket_timeout": _SECONDS,
    "socket_connect_timeout": _SECONDS,
    "socket_keepalive": _FLAG,
    "retry_on_timeout": _FLAG,
    "health_check_interval": (_matches(r"\d{1,5}"), "a whole number of seconds"),
    "max_connections": (_matches(r"[1-9]\d{0,4}"), "a whole number from 1"),
    "client_name": (_matches(r"[\x21-\x7e]+"), "a name without spaces"),
    "protocol": (_matches(r"[23]"), "2 or 3"),
}
#: Those that rediss:// has besides.
_TLS_OPTIONS: dict[str, tuple[Callable[[str], bool], str]] = {
    "ssl_cert_reqs": (_matches("none|optional|required"), "none, optional or required"),
    "ssl_check_hostname": _FLAG,
    "ssl_ca_certs": _FILE,
    "ssl_ca_path": (os.path.isdir, "a folder that is there"),
    "ssl_certfile": _FILE,
    "ssl_keyfile": _FILE,
    "ssl_password": _TEXT,
}


def check(url: str) -> None:
    """Raises ValueError, whose text says what is wrong."""
    if not _is_address(url):
        raise ValueError(f"Must be a URL like {_EXAMPLE}; write / @ : ? # and % in a password as %2F %40 %3A %3F %23 %25.")
    known = {**_OPTIONS, **_TLS_OPTIONS} if url.startswith("rediss://") else _OPTIONS
    for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items():
        if name in _TLS_OPTIONS and name not in known:
            raise ValueError(f"The option {name} is one of rediss://, and this address is not encrypted.")
        if name not in known:
            raise ValueError(f"Remove the option {_shown(name)} from it. Possible ones are: {', '.join(known)}.")
        is_right, form = known[name]
        if not all(is_right(value) for value in values):
            raise ValueError(f"The option {name} must be {form}.")


def _is_address(url: str) -> bool:
    """The client would take the path of another one for database 0."""
    if url.startswith("unix://"):
        return re.fullmatch(r"unix://([^\s/@]*@)?/[^\s?]+(\?\S*)?", url) is not None
    return re.fullmatch(r"rediss?://[^\s/?]+(/\d{0,5})?(\?\S*)?", url) is not None and has_valid_port(url)


def _shown(name: str) -> str:
    """An option's name; of another text it may be a part of a password."""
    return name if re.fullmatch(r"[a-z_]{1,40}", name) else "that has no option's name"
