"""DATABASE_URL as libpq reads it: several hosts, sslmode, options and what else PostgreSQL's own programs take.

libpq takes what the URL leaves open from its own environment variables (PGSSLMODE, PGPASSWORD, PGSERVICE …). Where one of these
is at fault, it is named; and the URL's host is the host, whatever PGHOSTADDR says.
"""

from __future__ import annotations

import os
import re

import psycopg2
from psycopg2.extensions import parse_dsn

_EXAMPLE = "postgresql://user:password@host:5432/database"
#: Where libpq lists the parameters.
_PARAMETERS = "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"
#: libpq reads these when it has reached a host, too late to say that the setting is wrong; each with its range.
_WHOLE_NUMBERS = {
    "connect_timeout": (-1, 2_147_483),
    "keepalives": (0, 1),
    "keepalives_idle": (1, 32_767),
    "keepalives_interval": (1, 32_767),
    "keepalives_count": (1, 127),
    "tcp_user_timeout": (0, 2_147_483_647),
}
#: Servers that take no writes, which is all that these ask for or ask for first.
_READ_ONLY = ("read-only", "standby", "prefer-standby")
#: A place where no server listens: libpq checks every parameter before it tries to connect.
_NOWHERE = "/nonexistent"


def parse(url: str) -> dict[str, str]:
    """libpq's parameters. Raises ValueError, whose text says what is wrong, and shows no value: it may be a secret."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"Must be a URL like {_EXAMPLE}.")
    try:
        parameters: dict[str, str] = parse_dsn(url)
    except psycopg2.ProgrammingError as problem:
        raise ValueError(_malformed(str(problem))) from None
    if "host" in parameters:
        parameters.setdefault("hostaddr", "")
    return parameters


def check(url: str) -> str:
    """The URL, if libpq would connect with it. Raises ValueError as `parse` does."""
    parameters = parse(url)
    for name, (least, most) in _WHOLE_NUMBERS.items():
        text = parameters.get(name, str(least))
        if not (re.fullmatch(r"-?\d{1,10}", text) and least <= int(text) <= most):
            raise ValueError(f"The parameter {name} must be a whole number from {least} to {most}.")
    if _effective(parameters, "target_session_attrs") in _READ_ONLY:
        named = _named(parameters, "target_session_attrs")
        raise ValueError(f"{named} leads to a server that takes no writes. Make it read-write.")
    if "replication" in parameters:
        raise ValueError("Remove the parameter replication: such a connection is for replicas.")
    hosts = max(parameters.get(name, "").count(",") for name in ("host", "hostaddr")) + 1
    nowhere = {**parameters, "host": ",".join([_NOWHERE] * hosts), "hostaddr": ""}
    if _effective(parameters, "gssencmode") == "require":
        nowhere["gssencmode"] = "disable"  # a socket cannot have it: an error of this check, and not of the URL
    try:
        psycopg2.connect(**nowhere).close()  # type: ignore[call-overload]  # the names are libpq's
    except psycopg2.OperationalError as problem:
        if _NOWHERE not in str(problem):
            raise ValueError(_refused(parameters, str(problem))) from None
    return url


def _malformed(reason: str) -> str:
    unknown = re.search(r'invalid URI query parameter: "(\w+)"', reason)
    if unknown:
        return f"PostgreSQL knows no parameter {unknown[1]}. Remove it from the URL; {_PARAMETERS} lists those that there are."
    if "percent-encoded" in reason:
        return "Has a % that begins no code of two hexadecimal digits. Write a % in a password as %25."
    return f"Must be a URL like {_EXAMPLE}; write / @ : ? # and % in a password as %2F %40 %3A %3F %23 %25."


def _variable(name: str) -> str:
    """libpq's environment variable for a parameter."""
    return "PGCONNECT_TIMEOUT" if name == "connect_timeout" else "PG" + name.upper().replace("_", "")


def _effective(parameters: dict[str, str], name: str) -> str:
    return parameters.get(name, os.environ.get(_variable(name), ""))


def _named(parameters: dict[str, str], name: str) -> str:
    """A parameter as whoever set it knows it."""
    is_in_environment = name not in parameters and _variable(name) in os.environ
    return f"The environment variable {_variable(name)}" if is_in_environment else f"The parameter {name}"


def _refused(parameters: dict[str, str], reason: str) -> str:
    if "service" in reason:
        named = _named(parameters, "service")
        return f"{named} names a service that libpq does not find. Write host, user and database into the URL instead."
    found = re.search(r"invalid \"?(?!port|integer)(\w+)\"? value|weak (sslmode)|(?:connection )option \"(\w+)\"", reason)
    name = next(filter(None, found.groups()), "port") if found else "port" if re.search(r"\bport\b", reason) else None
    if name == "port":
        return "Each port must be a number from 1 to 65535. Write / @ : ? # in a password as %2F %40 %3A %3F %23."
    return (
        f"{_named(parameters, name)} has a value that PostgreSQL does not accept; see {_PARAMETERS}."
        if name
        else (f"libpq does not accept its parameters; see {_PARAMETERS}.")
    )
