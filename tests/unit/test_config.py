"""The environment is read strictly, and a process with a wrong one stops and names the variable."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local.folders import ROOT
from scripts.local.ports import free_port
from scripts.local.processes import parse_procfile
from shared.config import ConfigError, host_of, read_settings
from tests.settings import variables

KEY, OLDER_KEY = "k" * 43 + "=", "o" * 43 + "="
GOOD = {"DATABASE_URL": "postgresql://u:hunter2@h/db", "REDIS_URL": "redis://h:1/0", "CREDENTIALS_KEY": KEY}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_defaults() -> None:
    conf = read_settings()
    assert (conf.graph_version, conf.ai_timeout, conf.http_timeout, conf.keep_completed, conf.keep_failed) == (
        "v25.0",
        45,
        10,
        3600,
        86400,
    )


@pytest.mark.parametrize("written", ["5m,30m,2h", "5m 30m 2h", " 5m, 30m,\t2h "])
def test_times_of_a_schedule_stand_apart_by_commas_or_spaces(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_REDELIVERY_SCHEDULE", written)
    assert read_settings().redelivery_schedule == (300, 1800, 7200)


#: redis-py takes most of these, and fails or answers otherwise when it connects.
UNSUITABLE_REDIS_OPTIONS = [
    *("decode_responses=true", "decode_responses=false", "encoding=latin-1", "encoding=utf-16", "encoding_errors=ignore"),
    *("protocol=4", "protocol=three", "db=-1", "db=abc", "client_name=two%20words", "client_name="),
    *("socket_timeout=0", "socket_timeout=-1", "socket_timeout=nan", "socket_timeout=3600", "socket_connect_timeout=0"),
    *("socket_timeout=None", "timeout=0", "timeout=5", "socket_read_size=0", "socket_type=1", "retry=3", "retry_on_error=x"),
    *("max_connections=0", "max_connections=-1", "health_check_interval=-5", "health_check_interval=soon"),
    *("host=other", "port=1", "path=/x", "redis_connect_func=x", "command_packer=x", "socket_keepalive_options=x"),
    *("maint_notifications_config=x", "single_connection_client=true", "connection_class=x", "socket_keepalive=perhaps"),
    *("ssl_cert_reqs=CERT_NONE", "ssl_ca_certs=/nowhere.pem", "ssl_certfile=/nowhere.pem", "ssl_ca_path=/nowhere"),
    *("ssl_check_hostname=perhaps", "ssl_min_version=TLSv1_2", "ssl=true", "hunter2", "hunter2=hunter2"),
    *(f"ssl_ca_certs=/{'x' * 300}", f"ssl_ca_path=/{'x' * 300}"),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://h/db"),
        ("REDIS_URL", "http://h"),
        ("CREDENTIALS_KEY", " "),
        ("AI_TIMEOUT_SECONDS", "soon"),
        ("AI_TIMEOUT_SECONDS", "0"),
        ("DB_POOL_SIZE", "1.5"),
        ("WHATSAPP_GRAPH_VERSION", "25"),
        ("AMBIGUOUS_SEND", "maybe"),
        ("LOG_LEVEL", "LOUD"),
        ("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "perhaps"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("REDIS_PORT", "70000"),
        ("PORT", "abc"),
        ("PORT", "0"),
        ("PORT", "-1"),
        ("PORT", "99999"),
        ("PORT", "8000.0"),
        ("PORT", "127.0.0.1:8000"),
        ("WEB_HOST", "::1"),
        ("WEB_HOST", "127.0.0.1:8000"),
        ("AI_THREADS", "abc"),
        ("AI_THREADS", "0"),
        ("AI_PROCESSES", "-1"),
        ("INCOMING_THREADS", "16 32"),
        ("OUTGOING_PROCESSES", "1.5"),
        ("WHATSAPP_CLOUD_THREADS", "١٦"),
        ("WEBHOOKS_THREADS", "$(nproc)"),
        ("WORKER_THREADS", "auto"),
        ("WEB_THREADS", "0x10"),
        ("WEB_CONCURRENCY", "two"),
        ("WEB_CONCURRENCY", ""),
        ("REDIS_URL", "redis://h:x/0"),
        ("REDIS_HOST", "redis://cache"),
        ("REDIS_CA_FILE", __file__),
        ("OPENAI_BASE_URL", "http://h:99999"),
        ("WHATSAPP_QR_SERVICE_URL", "http://[::1"),
        ("TELEGRAM_API_URL", "https://api telegram.org"),
        ("PUBLIC_URL", "https://chat example"),
        ("OPENAI_API_KEY", "sk-1\n"),
        ("OPERATOR_TOKEN", "gehört"),
        ("SMTP_URL", "smtp://mail:x"),
        ("SMTP_URL", "smtp://no..name.example:25"),
        ("SMTP_URL", f"smtp://{'a' * 64}.example:25"),
        ("MAIL_FROM", "nobody"),
        ("MAIL_FROM", "a@b.example\nBcc: c@d.example"),
        ("ALLOWED_HOSTS", "chat.example, https://chat.example"),
        ("ALLOWED_HOSTS", "*"),
        ("SENTRY_DSN", "nonsense"),
        ("SENTRY_DSN", "https://sentry.example/42"),
        ("MEDIA_BUCKET", "a/b"),
        ("MEDIA_BUCKET_URL", "https://minio.example/files"),
        ("KEEP_MEDIA_DAYS", "99999999"),
        ("WIDGET_TOKEN_DAYS", "99999999"),
        ("AI_TIMEOUT_SECONDS", "1e20"),
        ("DB_POOL_SIZE", "99999999999999999999"),
        ("REDIS_URL", "redis://h:1/cache"),
        ("REDIS_URL", "redis://h:1/0?timeout_in=3"),
        ("REDIS_URL", "redis://h:1/0?socket_timeout=soon"),
        ("REDIS_URL", "redis://h:1/0?ssl_cert_reqs=none"),
        *(("REDIS_URL", f"rediss://h:1/0?{option}") for option in UNSUITABLE_REDIS_OPTIONS),
        ("REDIS_URL", "unix://"),
        ("REDIS_URL", "redis://h..x:1/0"),
        ("REDIS_HOST", "'cache'"),
        ("REDIS_PASSWORD", "secret\n"),
        ("WHATSAPP_APP_SECRET", "secret\n"),
        ("WHATSAPP_VERIFY_TOKEN", " token"),
        ("WHATSAPP_QR_WEBHOOK_SECRET", "se\tcret"),
        ("DASHBOARD_PASSWORD", "secret\n"),
        ("DASHBOARD_USER", "me:too"),
        ("OPENAI_BASE_URL", "https://h/v1#models"),
        ("EMBEDDING_BASE_URL", "https://h/v1?x=a b"),
        ("PUBLIC_URL", "https://chat.example/?a=b"),
        ("WHATSAPP_GRAPH_URL", "https://graph..facebook.com"),
        ("TELEGRAM_API_URL", f"https://{'a' * 64}.example"),
        ("ALLOWED_HOSTS", "'chat.example'"),
        ("ALLOWED_HOSTS", "gehört.example"),
        ("SENTRY_ENVIRONMENT", "my shop"),
        ("SENTRY_ENVIRONMENT", "None"),
        ("WEB_HOST", "127.0.0.1\n"),
        ("WEB_HOST", "--reload"),
        ("MEDIA_FOLDER", ""),
        ("MEDIA_FOLDER", __file__),
        ("MEDIA_FOLDER", f"{__file__}/media"),
        ("MEDIA_FOLDER", "s3://shop-files"),
        ("MEDIA_FOLDER", "/srv/" + "x" * 300),
        ("MEDIA_FOLDER", '"media"'),
        ("MEDIA_BUCKET", "geschäft"),
        ("AI_THREADS", " "),
        ("OPENAI_API_KEY", '"sk-1"'),
        ("OPENAI_API_KEY", "${OPENAI_API_KEY}"),
        ("METRICS_TOKEN", "'token'"),
        ("WHATSAPP_APP_SECRET", '"secret"'),
        ("DASHBOARD_PASSWORD", "'two words'"),
        ("REDIS_PASSWORD", "${REDIS_PASSWORD}"),
    ],
)
def test_a_malformed_variable_is_named_with_what_is_right(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"^{name}: (?!Not a valid)"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://:p%40ss@[::1]:6379/0"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("REDIS_HOST", "[::1]"),
        ("OPENAI_BASE_URL", "http://[::1]:11434/v1"),
        ("SMTP_URL", "smtp://me%40shop.example:pass%2Fword@mail.example:587"),
        ("MAIL_FROM", "Switchboard <chat@example.com>"),
        ("ALLOWED_HOSTS", "chat.example, .shop.example,"),
        ("SENTRY_DSN", "https://key@o1.ingest.sentry.io/42"),
        ("SENTRY_DSN", "https://key:old@sentry.example:9000/path/42"),
        ("MEDIA_BUCKET_URL", "http://127.0.0.1:9000/"),
        ("REDIS_URL", "rediss://user:p%2Fw@cache.example:6380/15?ssl_cert_reqs=none&socket_timeout=3&max_connections=4"),
        ("REDIS_URL", "unix://user:p%40ss@/run/redis.sock?db=1"),
        ("REDIS_URL", "redis://h?protocol=3&client_name=switchboard&health_check_interval=30&socket_keepalive=True"),
        ("REDIS_URL", "rediss://h:1?ssl_cert_reqs=required&ssl_check_hostname=false&socket_connect_timeout=0.5"),
        ("REDIS_PASSWORD", "two words, äöü"),
        ("OPENAI_BASE_URL", "https://shop.openai.azure.com/openai/deployments/gpt?api-version=2026-01-01"),
        ("MEDIA_FOLDER", "/not/there/yet"),
        ("ALLOWED_HOSTS", "xn--gehrt-kua.example:8443, [::1]"),
        ("SENTRY_ENVIRONMENT", ""),
    ],
)
def test_an_address_of_any_good_form_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    read_settings()


@pytest.mark.parametrize(
    ("name", "value", "attribute", "read"),
    [
        ("OPENAI_BASE_URL", "HTTPS://API.example/V1", "openai_base_url", "https://API.example/V1"),
        ("WHATSAPP_QR_SERVICE_URL", "Http://waha:3000", "qr_service_url", "http://waha:3000"),
        ("MEDIA_BUCKET_URL", "HTTP://127.0.0.1:9000", "media_endpoint", "http://127.0.0.1:9000"),
        ("PUBLIC_URL", "Https://chat.example", "public_url", "https://chat.example"),
        ("SMTP_URL", "SMTP://Me:Pass@mail.example:587", "smtp_url", "smtp://Me:Pass@mail.example:587"),
        ("REDIS_URL", "REDISS://:Pass@h:6379/0", "redis_url", "rediss://:Pass@h:6379/0"),
        ("REDIS_URL", "valkeys://u:Pass@h:6379/0?ssl_cert_reqs=none", "redis_url", "rediss://u:Pass@h:6379/0?ssl_cert_reqs=none"),
        ("REDIS_URL", "valkey://h:6379", "redis_url", "redis://h:6379"),
        ("SENTRY_DSN", "HTTPS://Key@sentry.example/42", "sentry_dsn", "https://Key@sentry.example/42"),
    ],
)
def test_a_scheme_is_the_same_in_capitals(
    name: str, value: str, attribute: str, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(read_settings(), attribute) == read


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("OPENAI_BASE_URL", "openai_base_url"),
        ("EMBEDDING_BASE_URL", "embedding_base_url"),
        ("WHATSAPP_GRAPH_URL", "graph_url"),
        ("WHATSAPP_QR_SERVICE_URL", "qr_service_url"),
        ("TELEGRAM_API_URL", "telegram_url"),
        ("PUBLIC_URL", "public_url"),
    ],
)
def test_a_slash_at_the_end_of_an_address_is_not_there_twice_in_what_is_called(
    name: str, attribute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "https://host.example/base/")
    assert getattr(read_settings(), attribute) == "https://host.example/base"


@pytest.mark.parametrize("secret", ["it's", "'", "\"a'", "a${b}", "$2b$12$x", "'a'b"])
def test_a_secret_may_have_quotes_and_dollars_in_it(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    monkeypatch.setenv("DASHBOARD_PASSWORD", secret)
    assert (read_settings().openai_api_key, read_settings().dashboard_password) == (secret, secret)


@pytest.mark.parametrize("name", ["AI_THREADS", "WEB_PROCESSES", "PORT"])
def test_an_empty_size_is_the_procfiles_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert read_settings().web_threads == 8


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("abc", "this is not one"),
        ("hunter2" * 6 + "=", "this is not one"),
        (KEY[:-1], "this is not one"),
        (KEY * 2, "this is not one"),
        (f"{KEY},", "key 2 of 2 is not one"),
        (f"abc,{KEY}", "key 1 of 2 is not one"),
        (f"{KEY};{OLDER_KEY}", "this is not one"),
        (f"{KEY} {OLDER_KEY}", "this is not one"),
        ("é" * 44, "this is not one"),
        (f"'{KEY}'", "this is not one"),
    ],
)
def test_a_key_that_is_no_fernet_key_is_refused_with_what_makes_one(
    text: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_KEY", text)
    with pytest.raises(ConfigError) as caught:
        read_settings()
    said = str(caught.value)
    assert said.startswith("CREDENTIALS_KEY: Must be a Fernet key")
    assert f"; {wrong}. Make one with: python -c" in said
    assert text not in said


def test_several_keys_are_taken_with_spaces_around_the_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_KEY", f" {KEY} , {OLDER_KEY}\n")
    assert read_settings().credentials_key == f"{KEY},{OLDER_KEY}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("decode_responses=true", "Remove the option decode_responses from it. Possible ones are: db, username, "),
        ("socket_timeout=0", "The option socket_timeout must be a number of seconds, up to 60."),
        ("ssl_cert_reqs=none", "The option ssl_cert_reqs is one of rediss://, and this address is not encrypted."),
        ("db=1&Hunter2=x", "Remove the option that has no option's name from it."),
    ],
)
def test_an_unsuitable_option_of_redis_is_named(options: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:hunter2@h:1/0?{options}")
    with pytest.raises(ConfigError) as caught:
        read_settings()
    assert str(caught.value).startswith(f"REDIS_URL: {said}")
    assert "hunter2" not in str(caught.value).lower()


def test_redis_by_host_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("REDIS_HOST", "cache")
    monkeypatch.setenv("REDIS_PASSWORD", "p@ss")
    assert read_settings().redis_address == "redis://:p%40ss@cache:6379/0"
    monkeypatch.delenv("REDIS_HOST")
    with pytest.raises(ConfigError, match=r"^REDIS_URL: Not set, and REDIS_HOST is not set either"):
        read_settings()


def test_all_problems_are_reported_at_once_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://u:hunter2@h/db")
    monkeypatch.setenv("REDIS_URL", "http://u:hunter2@h")
    monkeypatch.setenv("LOG_LEVEL", "hunter2")
    monkeypatch.setenv("TRUSTED_PROXIES", "hunter2")
    monkeypatch.setenv("RATE_LIMIT_WHATSAPP_NUMBER", "hunter2")
    monkeypatch.delenv("CREDENTIALS_KEY")
    with pytest.raises(ConfigError) as caught:
        read_settings()
    lines = str(caught.value).splitlines()
    wrong = {"DATABASE_URL", "REDIS_URL", "CREDENTIALS_KEY", "TRUSTED_PROXIES", "RATE_LIMIT_WHATSAPP_NUMBER", "LOG_LEVEL"}
    assert {line.partition(":")[0] for line in lines} == wrong
    assert all(line.endswith(".") for line in lines)
    assert "hunter2" not in str(caught.value)


def test_a_worker_stops_at_once_and_names_the_variable(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import workers.ai"], cwd=root, env={"PATH": "/usr/bin"}, capture_output=True, timeout=120
    )
    assert done.returncode != 0
    for name in ("DATABASE_URL", "CREDENTIALS_KEY"):
        assert name.encode() in done.stderr
    assert b"Traceback" not in done.stderr


#: Settings that any text suits, as long as it is one line.
_ANY_TEXT = {
    *("OPENAI_API_KEY", "EMBEDDING_API_KEY", "WHATSAPP_QR_API_KEY", "METRICS_TOKEN", "OPERATOR_TOKEN", "REDIS_PASSWORD"),
    *("WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN", "WHATSAPP_QR_WEBHOOK_SECRET", "DASHBOARD_USER", "DASHBOARD_PASSWORD"),
    *("SENTRY_ENVIRONMENT", "ALLOWED_HOSTS", "MEDIA_FOLDER", "REDIS_HOST", "REDIS_NAMESPACE", "WEB_HOST", "MEDIA_BUCKET"),
}


def _documented(root: Path) -> list[str]:
    return re.findall(r"^([A-Z][A-Z0-9_]*)=", (root / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_documented_setting_refuses_nonsense(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = []
    for name in _documented(root):
        for value in ["two\nlines ", "a\x01b c", *([] if name in _ANY_TEXT else ["nonsense"])]:
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                try:
                    read_settings()
                except ConfigError as problem:
                    if str(problem).startswith(f"{name}: ") and value not in str(problem):
                        continue
                wrong.append((name, value))
    assert wrong == []


def _run_line(root: Path, line: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = parse_procfile((root / "Procfile").read_text(encoding="utf-8"))[line]
    environment = {**GOOD, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "WEB_HOST": "127.0.0.1", **settings}
    return subprocess.run(["sh", "-c", command], cwd=root, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "line", [line for line in parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8")) if line != "release"]
)
def test_every_process_type_ends_and_names_what_is_wrong(root: Path, line: str) -> None:
    done = _run_line(root, line, LOG_LEVEL="LOUD", MEDIA_FOLDER=__file__, PORT=str(free_port()))
    assert done.returncode
    assert "LOG_LEVEL: Must be one of" in done.stderr
    assert "MEDIA_FOLDER: Must be a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_release_names_a_database_url_that_is_none(root: Path) -> None:
    done = _run_line(root, "release", DATABASE_URL="mysql://h/db")
    assert done.returncode == 1
    assert done.stderr.startswith("migrate: DATABASE_URL: Must be a URL like postgresql://")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "name", "size"),
    [
        *(("ai", name, size) for name in ("AI_THREADS", "AI_PROCESSES") for size in ("abc", "0", "-1")),
        ("worker", "WORKER_THREADS", "two"),
        ("ai", "AI_THREADS", " "),
        *(("web", "WEB_PROCESSES", size) for size in ("abc", "0", " ")),
    ],
)
def test_a_line_of_the_procfile_names_the_size_that_is_wrong(root: Path, line: str, name: str, size: str) -> None:
    done = _run_line(root, line, **{name: size})
    assert done.returncode == 1
    assert f"{name}: Must be a whole number from 1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgres://a:5432,b:5433/db?target_session_attrs=read-write",
        "postgres://a,b/db",
        "postgres://u:p%40ss@[::1]:5432/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgres://h/db?options=endpoint%3Dquiet-sea%20-c%20search_path%3Dchat&channel_binding=require",
        "postgresql:///db?host=/var/run/postgresql",
        "postgres://h/db?hostaddr=10.0.0.1&connect_timeout=3&keepalives_idle=5",
        "postgres://h/db?gssencmode=require&target_session_attrs=primary&keepalives=0&connect_timeout=0",
        "postgres://h",
    ],
)
def test_what_libpq_takes_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert read_settings().database_url == url
    assert "@" not in host_of(url)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgres://h/db?schema=public", "no parameter schema"),
        ("postgres://h/db?pgbouncer=true", "no parameter pgbouncer"),
        ("postgres://h/db?sslmode=prefered", "sslmode"),
        ("postgres://h/db?target_session_attrs=writable", "target_session_attrs"),
        ("postgres://h/db?connect_timeout=soon", "connect_timeout"),
        ("postgres://h/db?keepalives_idle=0", "keepalives_idle must be a whole number from 1 to 32767"),
        ("postgres://h/db?keepalives_count=99999999999", "keepalives_count must be"),
        ("postgres://h/db?tcp_user_timeout=-5", "tcp_user_timeout must be"),
        ("postgres://h/db?target_session_attrs=standby", "a server that takes no writes"),
        ("postgres://h/db?target_session_attrs=prefer-standby", "a server that takes no writes"),
        ("postgres://h/db?replication=database", "replication"),
        ("postgres://h/db?service=nowhere", "The parameter service"),
        ("postgres://h/db?gssencmode=always", "gssencmode"),
        ("postgres://h/db?ssl_min_protocol_version=9", "ssl_min_protocol_version"),
        ("postgres://h:hunter2/db", "port"),
        ("postgres://h:70000/db", "port"),
        ("postgres://u:hunter2/x@h:5432/db", "port"),
        ("postgres://a,b/db?port=1,2,3", "port"),
        ("postgres://u:hunter2%zz@h/db", "%25"),
        ("postgres://[::1/hunter2", "Must be a URL"),
        ("host=h dbname=hunter2", "Must be a URL"),
    ],
)
def test_a_database_url_that_libpq_refuses_is_a_wrong_setting(url: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ConfigError, match=r"^DATABASE_URL: ") as caught:
        read_settings()
    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://u:secret@a:5432,b:5433/db", "a:5432,b:5433"),
        ("postgres://u:secret@[::1]:5432/db", "[::1]:5432"),
        ("redis://:secret@h:6379/0", "h:6379"),
        ("redis://h:x/0", "h:x"),
        ("https://u:secret@shop.example:8443/hook?token=secret", "shop.example:8443"),
        ("nonsense", "an address without a host"),
        ("https://u:secret@[::1/hook", "an address that is no URL"),
    ],
)
def test_messages_show_hosts_and_never_credentials(url: str, shown: str) -> None:
    assert host_of(url) == shown
