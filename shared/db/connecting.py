"""How a connection is made: where to, which settings it gets, and whether it is a connection of its own at all.

Settings go by a statement after connecting, not by the startup packet, which poolers refuse. A pooler in transaction mode, which
hands each transaction to any connection, is recognised and refused: prepared statements and LISTEN belong to a connection.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2

from shared import database_url
from shared.config import settings
from shared.db import refusals
from shared.db.hosts import with_addresses
from shared.db.outage import PoolerIsFull, StatementOverdue, Unsuitable, is_outage, outage
from shared.db.session import ON_ITS_WAY, WORKER, Limits, Session

#: On early patches of Python 3.11 (Debian 12 has 3.11.2) psycopg2 loses words that are not UTF-8.
_WORDS_LOST = "PostgreSQL refused the connection in an encoding that this Python cannot read; its log says why"
#: How our sessions plan: each statement touches a few rows by an index, on a table that may be empty when the plan is made
#: and huge when it runs. A plan suits any values, and is kept (shared/db/prepared.py).
_PLANNING = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
#: What the URL, the role or the database may have set otherwise, and a statement of ours relies on. A wait for a lock is bounded
#: by the statement's own time; an end before that would count as the job's failure.
_RELIED_ON = {
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",  # as events, e-mails and pages say; a server has its machine's
    "default_transaction_isolation": "read committed",
    "lock_timeout": "0",
    "idle_session_timeout": "0",  # one listens, and the others are closed when nobody needs them
}
#: What not every PostgreSQL takes. A transaction may take as long as its statements, and the pauses between them (not known
#: before 17). A statement that may take minutes keeps the rows that it has locked from whoever claims its job anew, so it ends
#: soon after its process (refused on systems that cannot tell).
_WHERE_TAKEN = (
    "case when current_setting('transaction_timeout', true) <> '0' then set_config('transaction_timeout', '0', {is_local}) end, "
    "case when version() like '%linux%' then set_config('client_connection_check_interval', '10s', {is_local}) end"
)
#: A process or machine that vanished in the middle of a transaction gives its locks back this soon: seconds, and PostgreSQL's
#: own watch over a silent network.
_VANISHED = {
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
#: The same watch on our side; DATABASE_URL may say otherwise. Milliseconds for which sent data may stay unacknowledged.
_NETWORK = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "switchboard",
}
#: The most seconds for a connection attempt that DATABASE_URL may say; 0 would be without an end.
_LONGEST_ATTEMPT = 60
_FREE_CONNECTIONS = Path(__file__).with_name("free_connections.sql").read_text(encoding="utf-8")
#: Seconds that an answer may take while a pooler's mode is found out: in session mode the second connection may have to wait.
_PROBE_PATIENCE = 2.0
#: How often a pooler is asked: it has many connections to choose from, and others ask it as well.
_PROBES = 10
#: The addresses whose pooler is known to give each session a connection of its own.
_in_session_mode: set[str] = set()
#: What is said of a pooler in transaction or statement mode.
_TRANSACTION_MODE = (
    "DATABASE_URL leads to a connection pooler in transaction mode, which runs each transaction on another connection. "
    "Switchboard needs connections of its own, for prepared statements and LISTEN. Use the pooler's session mode "
    "(PgBouncer: pool_mode=session; Supabase: port 5432 instead of 6543) or the database's direct address "
    "(Neon: the host name without -pooler)."
)


def open_session(url: str, limits: Limits, planning: Mapping[str, str] = _PLANNING) -> Session:
    """A new connection, set up. Raises ValueError for a wrong URL, psycopg2.Error, among them Unsuitable."""
    session = _connect(url, limits)
    try:
        # A pooler makes up the pid that it tells. Settings must not stay on a connection that others use as well.
        pid = session.get_backend_pid()
        asked = f"select pg_backend_pid(), {_settings(planning, limits, f'pg_backend_pid() <> {pid}')}"
        [[real_pid, *_]] = _first_answer(session, asked, url)
        if pid != real_pid:
            if url not in _in_session_mode:
                _refuse_transaction_mode(session, url, limits)
                _in_session_mode.add(url)
            _ask(session, f"select {_settings(planning, limits, 'false')}")
    except BaseException:
        session.close()
        raise
    session.patience = limits.statement + ON_ITS_WAY
    return session


def free_connections(session: Session) -> int:
    """How many more connections PostgreSQL would give to us; 0 or less if all are taken."""
    [[free]] = _ask(session, _FREE_CONNECTIONS)
    return int(free)


def check_address() -> None:
    """At the start of a process: ends it, saying why, if what DATABASE_URL leads to is unsuitable.

    A PostgreSQL that is away is no reason not to start.
    """
    try:
        open_session(settings().database_url, WORKER).close()
    except Unsuitable as problem:
        sys.exit(f"Switchboard did not start. {problem}")
    except psycopg2.Error as problem:
        if not is_outage(problem):
            raise
        outage.noticed(problem)


def _connect(url: str, limits: Limits) -> Session:
    parameters: dict[str, Any] = {**_NETWORK, **database_url.parse(url), "client_encoding": "UTF8"}
    if not 0 < int(parameters.get("connect_timeout", 0)) <= _LONGEST_ATTEMPT:
        parameters["connect_timeout"] = limits.connect
    parameters = with_addresses(parameters, int(parameters["connect_timeout"]))
    try:
        session: Session = psycopg2.connect(**parameters, connection_factory=Session)
    except UnicodeDecodeError as refusal:  # psycopg2 takes the server's words for UTF-8
        raise psycopg2.OperationalError(refusals.text_of(refusal.object)) from None
    except psycopg2.OperationalError as refusal:
        if str(refusal):
            raise
        raise psycopg2.OperationalError(_WORDS_LOST) from None
    # Until it is set up, whatever the program's patience: the network may have forgotten it as soon as it was there.
    session.patience = min(limits.statement, WORKER.statement) + ON_ITS_WAY
    if reason := _unsuitable_text(session):
        session.close()
        raise Unsuitable(reason)
    return session


def _unsuitable_text(session: Session) -> str | None:
    """Why what people write would not be stored as they wrote it; None if it would, or a pooler does not say."""
    if session.get_parameter_status("standard_conforming_strings") == "off":  # psycopg2 decides when it connects how it quotes
        return (
            "standard_conforming_strings is off, by DATABASE_URL's options or for its user. Backslashes would change what people "
            "wrote. Remove it there: alter role … reset standard_conforming_strings."
        )
    encoding = session.get_parameter_status("server_encoding")
    if encoding and encoding != "UTF8":
        return (
            f"DATABASE_URL leads to a database in the encoding {encoding}, which lacks letters that people write, and emoji. "
            "Make one in UTF8: create database … encoding 'UTF8' template template0."
        )
    return None


def _first_answer(session: Session, sql: str, url: str) -> list[tuple[Any, ...]]:
    """A pooler takes every client at once, lets its first statement wait for a connection, and hangs up after some time
    (PgBouncer: query_wait_timeout). Raises PoolerIsFull."""
    try:
        return _ask(session, sql)
    except psycopg2.OperationalError as problem:
        if url in _in_session_mode and session.unusable:
            raise PoolerIsFull("the connection pooler took the client and had no connection to the server for it") from problem
        raise


def _settings(planning: Mapping[str, str], limits: Limits, is_local: str) -> str:
    values = {**planning, **_RELIED_ON, **_VANISHED, "statement_timeout": f"{limits.statement:.0f}s"}
    ours = [f"set_config('{name}', '{value}', {is_local})" for name, value in values.items()]
    return ", ".join([*ours, _WHERE_TAKEN.format(is_local=is_local)])


def _refuse_transaction_mode(session: Session, url: str, limits: Limits) -> None:
    """In session mode a session keeps its connection, and no other has it. Raises Unsuitable."""
    other = _connect(url, limits)
    other.patience = _PROBE_PATIENCE
    try:
        for _ in range(_PROBES):
            before = _pid(session)
            if _pid(other) == before or _pid(session) != before:
                raise Unsuitable(_TRANSACTION_MODE)
    except StatementOverdue:
        return  # it waits for the connection that the session keeps
    finally:
        other.close()


def _pid(session: Session) -> int:
    [[pid]] = _ask(session, "select pg_backend_pid()")
    return int(pid)


def _ask(session: Session, sql: str) -> list[tuple[Any, ...]]:
    with session.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()
