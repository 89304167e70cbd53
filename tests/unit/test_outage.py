"""What PostgreSQL's errors mean: the word, and what becomes of the connection and the statement."""

from __future__ import annotations

import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import peewee
import psycopg2
import psycopg2.errors
import pytest

from shared.db import refusals
from shared.db.connecting import open_session
from shared.db.outage import is_outage, is_unknown, kind_of, repeat_refused, retry_on_outage, service_down, word_for
from shared.db.session import WORKER, StatementOverdue
from shared.errors import ServiceDown

#: Whether psycopg2 keeps a server's words that are not UTF-8 (shared/db/connecting.py).
_HAS_WORDS = sys.version_info >= (3, 11, 7)


class Reported(psycopg2.DatabaseError):
    """An error with the SQLSTATE that a server would send."""

    def __init__(self, state: str, words: str = "said the server") -> None:
        super().__init__(f"{words}: {state}")
        self.state = state

    @property
    def pgcode(self) -> str:  # type: ignore[override]  # psycopg2 sets it from a result
        """The SQLSTATE."""
        return self.state


@pytest.mark.parametrize(
    ("state", "word", "consequence"),
    [
        ("08006", "connection lost", "RECONNECT"),
        ("08P01", "connection lost", "RECONNECT"),
        ("25006", "read only", "RECONNECT"),
        ("26000", "a prepared statement was lost", "RECONNECT"),
        ("42501", "permission denied", "WAIT"),
        ("42P05", "a prepared statement is there twice", "RECONNECT"),
        ("0A000", "a prepared statement is out of date", "RECONNECT"),
        ("28P01", "credentials refused", "RECONNECT"),
        ("3D000", "no such database", "RECONNECT"),
        ("53100", "disk full", "WAIT"),
        ("53200", "out of memory", "WAIT"),
        ("53300", "too many connections", "WAIT"),
        ("53400", "a limit of its settings is used up, most likely temp_file_limit", "WAIT"),
        ("57014", "statement too slow", "WAIT"),
        ("57P01", "shutting down", "RECONNECT"),
        ("57P02", "crashed", "RECONNECT"),
        ("57P03", "starting up or shutting down", "RECONNECT"),
        ("57P05", "connection idle for too long", "RECONNECT"),
        ("25P03", "idle in a transaction for too long", "RECONNECT"),
        ("58030", "input/output error", "WAIT"),
        ("XX002", "an index is corrupted", "WAIT"),
        ("40001", "lost against another transaction", "NONE"),
        ("40P01", "lost against another transaction", "NONE"),
        ("40003", "connection lost", "RECONNECT"),
    ],
)
def test_an_sqlstate_has_a_word_and_a_consequence(state: str, word: str, consequence: str) -> None:
    for problem in (Reported(state), peewee.InternalError(Reported(state))):
        kind = kind_of(problem)
        assert kind is not None
        assert (kind.word, kind.consequence.name) == (word, consequence)
        assert is_outage(problem) is (consequence != "NONE")


class Pooled(Reported):
    """What a pooler says on a connection that it has taken: one SQLSTATE for everything."""

    def __init__(self, state: str, words: str) -> None:
        super().__init__(state)
        self.args = (words,)


@pytest.mark.parametrize(
    ("state", "words", "word"),
    [
        ("08P01", "query_wait_timeout", "too many connections"),
        ("08P01", "server conn crashed?", "connection lost"),
        ("XX000", "MaxClientsInSessionMode: max clients reached", "too many connections"),
        ("XX000", "unable to check out connection from the pool due to timeout", "too many connections"),
    ],
)
def test_a_pooler_says_by_words_what_it_refuses(state: str, words: str, word: str) -> None:
    problem = Pooled(state, words)
    assert word_for(problem) == word
    assert is_unknown(problem) is (word == "connection lost"), "what was refused has not happened"


@pytest.mark.parametrize("state", ["23505", "22P02", "42601", "42703", "SB001", "P0001", "XX000", "XX001"])
def test_a_wrong_statement_is_no_outage(state: str) -> None:
    assert kind_of(Reported(state)) is None
    assert not is_outage(peewee.IntegrityError(Reported(state)))


def _to_server(words: str) -> str:
    return f'connection to server at "10.0.0.1", port 5432 failed: {words}\n'


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (_to_server("Connection refused"), "cannot be reached"),
        (_to_server("timeout expired"), "cannot be reached"),
        ('could not translate host name "db" to address: Name or service not known', "DNS knows no address for it"),
        ('could not translate host name "db" to address: Temporary failure in name resolution', "DNS did not answer"),
        (_to_server("FATAL:  sorry, too many clients already"), "too many connections"),
        (_to_server("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER"), "too many connections"),
        (_to_server('FATAL:  too many connections for role "app"'), "too many connections"),
        (_to_server("FATAL:  no more connections allowed (max_client_conn)"), "too many connections"),
        (_to_server("FATAL:  Max client connections reached"), "too many connections"),
        (_to_server("FATAL:  MaxClientsInSessionMode: max clients reached - in Session mode"), "too many connections"),
        (_to_server("FATAL:  query_wait_timeout"), "too many connections"),
        (_to_server("FATAL:  Timed-out waiting to acquire database connection"), "too many connections"),
        (_to_server("ERROR:  Too many database connection attempts are currently ongoing"), "too many connections"),
        (_to_server("FATAL:  Tenant or user not found"), "credentials refused"),
        (_to_server("FATAL:  This RDS Proxy has no credentials for the role app."), "credentials refused"),
        (_to_server("ERROR:  Your project has exceeded the compute time quota."), "a quota of its provider is used up"),
        (_to_server("ERROR:  Your project has exceeded the data transfer quota."), "a quota of its provider is used up"),
        (_to_server("ERROR:  The endpoint is disabled. Enable it in the console."), "refuses the connection"),
        (_to_server("ERROR:  Control plane request failed"), "refuses the connection"),
        (_to_server("FATAL:  the database system is starting up"), "starting up or shutting down"),
        (_to_server("FATAL:  the database system is not yet accepting connections"), "starting up or shutting down"),
        (_to_server('FATAL:  password authentication failed for user "app"'), "credentials refused"),
        (_to_server('FATAL:  role "app" does not exist'), "credentials refused"),
        (_to_server('FATAL:  database "shop" does not exist'), "no such database"),
        (_to_server("session is read-only"), "read only"),
        (_to_server("server does not support SSL, but SSL was required"), "TLS failed"),
        (_to_server('root certificate file "/nowhere" does not exist'), "TLS failed"),
        (_to_server("SSL error: certificate verify failed"), "TLS failed"),
        ("server closed the connection unexpectedly", "connection lost"),
        ("SSL SYSCALL error: EOF detected", "connection lost"),
    ],
)
def test_a_refused_connection_has_a_word_too(text: str, word: str) -> None:
    """libpq passes the words on, and no SQLSTATE."""
    assert word_for(psycopg2.OperationalError(text)) == word
    assert word_for(peewee.OperationalError(psycopg2.OperationalError(text))) == word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("FATAL:  tut mir leid, schon zu viele Verbindungen", "too many connections"),
        ("FATAL:  die verbleibenden Verbindungen sind für Rollen mit dem SUPERUSER-Attribut reserviert", "too many connections"),
        ("FATAL:  zu viele Verbindungen von Rolle »app«", "too many connections"),
        ("FATAL:  lo siento, ya tenemos demasiados clientes", "too many connections"),
        ("FATAL:  désolé, trop de clients sont déjà connectés", "too many connections"),
        ("FATAL:  trop de connexions pour le rôle « app »", "too many connections"),
        ("FATALE:  spiacente, troppi client già connessi", "too many connections"),
        ("FATAL:  現在クライアント数が多すぎます", "too many connections"),
        ('FATAL:  ロール"app"からの接続が多すぎます', "too many connections"),
        ("ფატალური:  უკაცრავად, უკვე მეტისმეტად ბევრი კლიენტია", "too many connections"),
        ("치명적오류:  최대 동시 접속자 수를 초과했습니다.", "too many connections"),
        ("ВАЖНО:  извините, уже слишком много клиентов", "too many connections"),
        ("FATALT:  ledsen, för många klienter", "too many connections"),
        ("ФАТАЛЬНО:  вибачте, вже забагато клієнтів", "too many connections"),
        ("致命错误:  对不起, 已经有太多的客户", "too many connections"),
        ("FATAL:  das Datenbanksystem fährt herunter", "starting up or shutting down"),
        ("FATAL:  el sistema de base de datos está iniciándose", "starting up or shutting down"),
        ("FATAL:  le système de bases de données n'accepte pas encore de connexions", "starting up or shutting down"),
        ("FATALE:  il database si sta avviando", "starting up or shutting down"),
        ("FATAL:  データベースシステムはシャットダウンしています", "starting up or shutting down"),
        ("ВАЖНО:  система БД ещё не принимает подключения", "starting up or shutting down"),
        ("致命错误:  数据库系统启动中", "starting up or shutting down"),
        ("FATAL:  Passwort-Authentifizierung für Benutzer »app« fehlgeschlagen", "credentials refused"),
        ("FATAL:  Rolle »app« existiert nicht", "credentials refused"),
        ("FATAL:  kein pg_hba.conf-Eintrag für Host »10.0.0.9«, Benutzer »app«, Datenbank »shop«", "credentials refused"),
        ("FATAL:  le rôle « app » n'existe pas", "credentials refused"),
        ('ВАЖНО:  пользователь "app" не прошёл проверку подлинности (по паролю)', "credentials refused"),
        ("FATAL:  Datenbank »shop« existiert nicht", "no such database"),
        ("FATAL:  la base de données « shop » n'existe pas", "no such database"),
        ('FATAL:  データベース"shop"は存在しません', "no such database"),
    ],
)
def test_a_server_says_it_in_the_language_of_its_lc_messages(text: str, word: str) -> None:
    """As PostgreSQL 15 says it, and one of 17."""
    assert word_for(psycopg2.OperationalError(_to_server(text))) == word


@pytest.mark.parametrize(
    "text",
    [
        'could not load private key file "shop.key": key values mismatch',
        'private key file "shop.key" has group or world access; file must have permissions u=rw (0600) or less',
        'certificate present, but not private key file "shop.key"',
        "FATAL:  connection requires a valid client certificate",
    ],
)
def test_a_client_certificate_that_does_not_suit_is_a_matter_of_tls(text: str) -> None:
    refused = f'connection to server at "127.0.0.1", port 5432 failed: {text}'
    assert word_for(psycopg2.OperationalError(refused)) == "TLS failed"


@pytest.mark.parametrize("host", ["too many clients", "rollen", "databasen"])
def test_a_hosts_name_says_nothing(host: str) -> None:
    refused = f'connection to server at "{host}" (10.0.0.1), port 5432 failed: Connection refused'
    assert word_for(psycopg2.OperationalError(refused)) == "cannot be reached"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("FATAL:  désolé, trop de clients sont déjà connectés", "latin-1"),
        ("FATAL:  Datenbank »größe« existiert nicht", "latin-1"),
        ("ВАЖНО:  извините, уже слишком много клиентов", "koi8-r"),
        ("ВАЖНО:  извините, уже слишком много клиентов", "cp1251"),
        ("FATAL:  現在クライアント数が多すぎます", "euc-jp"),
        ("致命错误:  对不起, 已经有太多的客户", "gb18030"),
        ("치명적오류:  최대 동시 접속자 수를 초과했습니다.", "euc-kr"),
    ],
)
def test_a_server_says_it_in_its_systems_encoding(text: str, encoding: str) -> None:
    assert refusals.text_of(_to_server(text).encode(encoding)) == _to_server(text)
    assert "\ufffd" in refusals.text_of("FATAL: größer".encode("latin-1"))


def test_a_refusal_in_another_encoding_is_an_error_of_the_database() -> None:
    """psycopg2 alone raises UnicodeDecodeError, which is none."""
    text = "désolé, trop de clients sont déjà connectés".encode("latin-1")
    fields = b"SFATAL\0VFATAL\0C53300\0M" + text + b"\0\0"
    with socket.create_server(("127.0.0.1", 0)) as full, ThreadPoolExecutor(1) as pool:

        def refuse() -> None:
            client, _ = full.accept()
            with client:
                client.recv(1024)
                client.sendall(b"E" + struct.pack("!I", 4 + len(fields)) + fields)

        refused = pool.submit(refuse)
        url = f"postgresql://app@127.0.0.1:{full.getsockname()[1]}/shop?sslmode=disable&gssencmode=disable"
        words = "trop de clients sont déjà" if _HAS_WORDS else "PostgreSQL refused .* its log says why"
        with pytest.raises(psycopg2.OperationalError, match=words) as raised:
            open_session(url, WORKER)
        refused.result(60)
    assert word_for(raised.value) == ("too many connections" if _HAS_WORDS else "connection lost")


def test_an_overdue_statement_is_an_outage() -> None:
    assert word_for(StatementOverdue("no answer within 4 s")) == "no answer in time"
    assert word_for(psycopg2.InterfaceError("connection already closed")) == "connection lost"


def _failing(times: int, problem: Exception) -> tuple[list[int], object]:
    calls: list[int] = []

    def work() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise problem
        return 7

    return calls, work


@pytest.mark.parametrize("state", ["25006", "26000", "42P05", "40P01"])
def test_what_was_refused_is_repeated_at_once(state: str) -> None:
    calls, work = _failing(2, Reported(state))
    assert repeat_refused(work) == 7  # type: ignore[arg-type]
    assert len(calls) == 3


@pytest.mark.parametrize("state", ["57P01", "53100", "08006", "23505"])
def test_what_may_have_happened_is_not_repeated(state: str) -> None:
    calls, work = _failing(1, Reported(state))
    with pytest.raises(Reported):
        repeat_refused(work)  # type: ignore[arg-type]
    assert len(calls) == 1


def test_what_somebody_ends_is_begun_anew_and_is_no_outage() -> None:
    cancelled = Reported("57014", "canceling statement due to user request")
    assert not is_outage(cancelled)
    calls, work = _failing(2, cancelled)
    assert repeat_refused(work) == 7  # type: ignore[arg-type]
    assert len(calls) == 3


def test_an_outage_is_waited_for_and_named() -> None:
    calls, work = _failing(1, Reported("53100"))
    assert retry_on_outage(work, 5) == 7  # type: ignore[arg-type]
    assert len(calls) == 2
    with pytest.raises(ServiceDown, match=r"^PostgreSQL: disk full$"):
        retry_on_outage(_failing(9, Reported("53100"))[1], 0.0)  # type: ignore[arg-type]


def test_a_refused_connection_keeps_its_word_on_the_way_up() -> None:
    refused = psycopg2.OperationalError(_to_server("FATAL:  sorry, too many clients already"))
    assert word_for(service_down(refused)) == "too many connections"
    assert service_down(down := ServiceDown("busy")) is down
