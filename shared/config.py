"""The only reader of the environment: read once, checked as a whole. `.env.example` explains each setting.

A process with a missing or malformed setting stops at once and names the variable. No text shows a value: it may be a secret.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote, urlsplit

from environs import Env, EnvValidationError, ValidationError, validate

from shared import database_url

_POSITIVE = validate.Range(min=0, min_inclusive=False, error="Must be greater than 0.")
#: Providers deliver a message again for a week, and would bring back what was deleted before.
_NEVER_OR_A_WEEK = (
    validate.Range(0, 36_500, error="Must be a number of days up to 36500, or 0 for ever."),
    validate.NoneOf(range(1, 7), error="Must be at least 7 days, or 0 for ever."),
)
_PORT = validate.Range(1, 65535, error="Must be a port, a whole number from 1 to 65535.")
_HTTP_URL = validate.Regexp(r"^https?://[^\s/]+", error="Must be a URL like https://example.com.")
_HTTP_URL_OR_NONE = validate.Regexp(r"^(https?://[^\s/]+|$)", error="Must be a URL like https://example.com, or empty.")
_HOST = validate.Regexp(r"^(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]*)$", error="Must be an address; one of IPv6 in brackets, like [::1].")
_NAMESPACE = validate.Regexp(r"^[\w-]+\Z", error="Must consist of letters, digits, _ and -.")
_GRAPH_VERSION = validate.Regexp(r"^v\d+\.\d+\Z", error="Must be a version like v25.0.")
_AMBIGUOUS_SEND = validate.OneOf(("resend", "hold"), error="Must be one of: {choices}.")
_LOG_LEVEL = validate.OneOf(("DEBUG", "INFO", "WARNING", "ERROR"), error="Must be one of: {choices}.")
#: Up to 99,999 times in up to 9,999 seconds, minutes or hours: Redis keeps an entry for each time.
_RATE = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,3})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
#: The most steps of a redelivery schedule, and the seconds of one; schema.sql says the same.
MAX_REDELIVERIES, MAX_REDELIVERY_DELAY = 20, 7 * 86_400
#: Sizes of the process types. The Procfile reads them, and no module; here each process checks that they are numbers.
_SIZES = (
    *("WEB_PROCESSES", "INCOMING_PROCESSES", "INCOMING_THREADS", "AI_PROCESSES", "AI_THREADS"),
    *("MEDIA_PROCESSES", "MEDIA_THREADS"),
    *("OUTGOING_PROCESSES", "OUTGOING_THREADS", "WHATSAPP_CLOUD_PROCESSES", "WHATSAPP_CLOUD_THREADS", "WHATSAPP_QR_PROCESSES"),
    *("WHATSAPP_QR_THREADS", "WEBHOOKS_PROCESSES", "WEBHOOKS_THREADS", "KNOWLEDGE_PROCESSES", "KNOWLEDGE_THREADS"),
    *("TELEGRAM_PROCESSES", "TELEGRAM_THREADS", "WORKER_PROCESSES", "WORKER_THREADS"),
)
#: 32 bytes of base64. Fernet itself skips what is not base64, and would take two keys with a space in between for the first.
_FERNET_KEY = re.compile(r"[A-Za-z0-9_/+-]{43}=")
_NEW_KEY = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


class ConfigError(Exception):
    """Settings are missing or malformed; the text has a line for each."""


@dataclass(frozen=True)
class Rate:
    """`limit` times in any `window` seconds."""

    limit: int
    window: int
    text: str

    def __str__(self) -> str:
        return self.text


def parse_rate(text: str) -> Rate | None:
    """The rate that a setting says, None for no limit. Raises ValidationError."""
    if not text:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValidationError("Must be a count and a time, like 10/1s, 600/1m or 5000/1h, or empty for no limit.")
    return Rate(int(match[1]), int(match[2]) * _SECONDS[match[3]], text)


def _parse_duration(text: str) -> int:
    """Seconds. Raises ValidationError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValidationError("Must be a time like 90s, 30m, 24h or 7d.")
    return int(match[1]) * (_SECONDS | {"d": 86_400})[match[2]]


def _parse_schedule(text: str) -> tuple[int, ...]:
    """Seconds, for each of up to 20 times. Raises ValidationError."""
    times = tuple(_parse_duration(time) for time in text.split())
    if len(times) > MAX_REDELIVERIES or any(time > MAX_REDELIVERY_DELAY for time in times):
        raise ValidationError(f"Must be up to {MAX_REDELIVERIES} times of at most 7d each, like 5m 30m 2h, or empty for none.")
    return times


def _parse_size(text: str, may_be_empty: bool = True) -> str:
    if not (may_be_empty and not text.strip()) and not re.fullmatch(r"[1-9][0-9]{0,4}", text.strip()):
        raise ValidationError(
            "Must be a whole number from 1 to 99999" + (", or empty for the Procfile's own." if may_be_empty else ".")
        )
    return text


def _parse_port(text: str) -> str:
    if text and not (re.fullmatch(r"[1-9][0-9]{0,4}", text) and int(text) <= 65_535):
        raise ValidationError("Must be a port, a whole number from 1 to 65535, or empty for the Procfile's own.")
    return text


def _parse_credentials_key(text: str) -> str:
    keys = [key.strip() for key in text.split(",")]
    for number, key in enumerate(keys, 1):
        if not _FERNET_KEY.fullmatch(key):
            which = f"key {number} of {len(keys)} is not one" if len(keys) > 1 else "this is not one"
            raise ValidationError(
                f"Must be a Fernet key, or several, the newest first, separated by commas; {which}. Make one with: {_NEW_KEY}"
            )
    return ",".join(keys)


def _check_database_url(url: str) -> str:
    try:
        return database_url.check(url)
    except ValueError as problem:
        raise ValidationError(str(problem)) from None


def _is_file(path: str) -> None:
    if path and not Path(path).is_file():
        raise ValidationError("This is not a file. Name the file of a certificate authority, or leave it empty.")


def _parse_reply_limit(text: str) -> Rate | None:
    """A rate that workers/ai.sql can see: it reads no more replies than that. Raises ValidationError."""
    rate = parse_rate(text)
    if rate is not None and not (5 <= rate.limit <= 100 and rate.window <= _SECONDS["h"]):
        raise ValidationError("Must be 5 to 100 replies in at most an hour, like 60/10m, or empty for no limit.")
    return rate


def _parse_smtp_url(url: str) -> str:
    if url and not re.fullmatch(r"smtps?://[^\s/]+/?", url):
        raise ValidationError("Must be a URL like smtp://user:password@mail.example:587, or empty for no e-mail.")
    return url


def _parse_redis_url(url: str, host: str) -> str:
    if not url and not host:
        raise ValidationError("Not set, and REDIS_HOST is not set either. Set one, for example redis://host:6379/0.")
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValidationError("Must be a URL like redis://host:6379/0.")
    return url


class Settings:
    """Times are in seconds. `seal()` of the environment that it read tells whether they are all right."""

    def __init__(self, env: Env) -> None:
        env.add_parser("rate", parse_rate)
        env.add_parser("duration", _parse_duration)
        env.add_parser("database_url", _check_database_url)
        env.add_parser("schedule", _parse_schedule)
        env.add_parser("reply_limit", _parse_reply_limit)
        env.add_parser("redis_url", _parse_redis_url)
        env.add_parser("credentials_key", _parse_credentials_key)
        env.add_parser("size", _parse_size)
        env.add_parser("port", _parse_port)
        env.add_parser("smtp_url", _parse_smtp_url)

        self.database_url: str = env.database_url("DATABASE_URL")
        self.db_pool_size = env.int("DB_POOL_SIZE", 8, validate=_POSITIVE)
        self.redis_host = env.str("REDIS_HOST", "")
        self.redis_url: str = env.redis_url("REDIS_URL", "", host=self.redis_host)
        self.redis_port = env.int("REDIS_PORT", 6379, validate=_PORT)
        self.redis_password = env.str("REDIS_PASSWORD", "")
        self.redis_tls_verify = env.bool("REDIS_TLS_VERIFY", True)
        self.redis_ca_file = env.str("REDIS_CA_FILE", "", validate=_is_file)
        self.redis_pool_size = env.int("REDIS_POOL_SIZE", 1, validate=_POSITIVE)
        self.redis_namespace = env.str("REDIS_NAMESPACE", "dramatiq", validate=_NAMESPACE)
        self.credentials_key: str = env.credentials_key("CREDENTIALS_KEY")

        self.openai_base_url = env.str("OPENAI_BASE_URL", "https://api.openai.com/v1", validate=_HTTP_URL)
        self.openai_api_key = env.str("OPENAI_API_KEY", "")
        self.ai_timeout = env.float("AI_TIMEOUT_SECONDS", 45, validate=_POSITIVE)
        self.ai_patience = env.float("AI_PATIENCE_SECONDS", 60, validate=_POSITIVE)
        self.knowledge_characters = env.int("PROMPT_KNOWLEDGE_CHARACTERS", 20_000, validate=_POSITIVE)
        self.history_characters = env.int("PROMPT_HISTORY_CHARACTERS", 24_000, validate=_POSITIVE)
        self.reply_limit: Rate | None = env.reply_limit("CONVERSATION_REPLY_LIMIT", "60/10m")
        self.answer_within: int = env.duration("ANSWER_WITHIN", "24h")
        self.brake_seconds = env.float("CONVERSATION_BRAKE_SECONDS", 1800, validate=_POSITIVE)
        self.embedding_base_url = env.str("EMBEDDING_BASE_URL", "", validate=_HTTP_URL_OR_NONE)
        self.embedding_api_key = env.str("EMBEDDING_API_KEY", "")
        self.embedding_timeout = env.float("EMBEDDING_TIMEOUT_SECONDS", 2, validate=_POSITIVE)
        self.graph_url = env.str("WHATSAPP_GRAPH_URL", "https://graph.facebook.com", validate=_HTTP_URL)
        self.graph_version = env.str("WHATSAPP_GRAPH_VERSION", "v25.0", validate=_GRAPH_VERSION)
        self.graph_media_url = env.str("WHATSAPP_MEDIA_URL", "https://lookaside.fbsbx.com", validate=_HTTP_URL)
        self.qr_service_url = env.str("WHATSAPP_QR_SERVICE_URL", "http://127.0.0.1:3000", validate=_HTTP_URL)
        self.qr_api_key = env.str("WHATSAPP_QR_API_KEY", "")
        self.whatsapp_verify_token = env.str("WHATSAPP_VERIFY_TOKEN", "")
        self.whatsapp_app_secret = env.str("WHATSAPP_APP_SECRET", "")
        self.qr_webhook_secret = env.str("WHATSAPP_QR_WEBHOOK_SECRET", "")
        self.telegram_url = env.str("TELEGRAM_API_URL", "https://api.telegram.org", validate=_HTTP_URL)
        self.http_timeout = env.float("HTTP_TIMEOUT_SECONDS", 10, validate=_POSITIVE)
        self.webhooks_to_private = env.bool("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", False)
        self.redelivery_schedule: tuple[int, ...] = env.schedule("WEBHOOK_REDELIVERY_SCHEDULE", "5m 30m 2h 5h 10h 10h")
        self.webhook_disable_after = env.duration("WEBHOOK_DISABLE_AFTER", "5d")
        self.ambiguous_send = env.str("AMBIGUOUS_SEND", "resend", validate=_AMBIGUOUS_SEND)
        self.ambiguous_wait = env.float("AMBIGUOUS_SEND_WAIT_SECONDS", 10, validate=_POSITIVE)

        self.media_folder = env.str("MEDIA_FOLDER", "media")
        self.media_bucket = env.str("MEDIA_BUCKET", "")
        self.media_endpoint = env.str("MEDIA_BUCKET_URL", "", validate=_HTTP_URL_OR_NONE)
        self.media_max = env.int("MEDIA_MAX_MB", 16, validate=validate.Range(1, 100))
        self.media_quota = env.int("MEDIA_QUOTA_MB", 5_000, validate=_POSITIVE)
        self.media_timeout = env.float("MEDIA_TIMEOUT_SECONDS", 30, validate=_POSITIVE)
        self.keep_messages_days = env.int("KEEP_MESSAGES_DAYS", 0, validate=_NEVER_OR_A_WEEK)
        self.keep_media_days = env.int("KEEP_MEDIA_DAYS", 90, validate=_POSITIVE)

        self.keep_completed = env.float("KEEP_COMPLETED_JOBS_SECONDS", 3600, validate=_POSITIVE)
        self.keep_failed = env.float("KEEP_FAILED_JOBS_SECONDS", 86400, validate=_POSITIVE)
        self.keep_dead_letters_days = env.int("KEEP_DEAD_LETTERS_DAYS", 30, validate=_POSITIVE)
        self.keep_webhook_attempts_days = env.int("KEEP_WEBHOOK_ATTEMPTS_DAYS", 30, validate=_POSITIVE)
        self.keep_webhook_events_days = env.int("KEEP_WEBHOOK_EVENTS_DAYS", 90, validate=_POSITIVE)
        self.job_lease = env.float("JOB_LEASE_SECONDS", 15, validate=_POSITIVE)
        self.job_max_age = env.float("JOB_MAX_AGE_SECONDS", 3600, validate=_POSITIVE)
        self.sweep_interval = env.float("SWEEP_INTERVAL_SECONDS", 5, validate=_POSITIVE)

        self.rate_limit_incoming_messages: Rate | None = env.rate("RATE_LIMIT_INCOMING_MESSAGES", "")
        self.rate_limit_media_fetch: Rate | None = env.rate("RATE_LIMIT_MEDIA_FETCH", "")
        self.rate_limit_ai_processing: Rate | None = env.rate("RATE_LIMIT_AI_PROCESSING", "")
        self.rate_limit_outgoing_messages: Rate | None = env.rate("RATE_LIMIT_OUTGOING_MESSAGES", "")
        self.rate_limit_whatsapp_cloud_send: Rate | None = env.rate("RATE_LIMIT_WHATSAPP_CLOUD_SEND", "")
        self.rate_limit_whatsapp_qr_send: Rate | None = env.rate("RATE_LIMIT_WHATSAPP_QR_SEND", "")
        self.rate_limit_telegram_send: Rate | None = env.rate("RATE_LIMIT_TELEGRAM_SEND", "")
        self.rate_limit_webhook_delivery: Rate | None = env.rate("RATE_LIMIT_WEBHOOK_DELIVERY", "")
        self.rate_limit_knowledge_import: Rate | None = env.rate("RATE_LIMIT_KNOWLEDGE_IMPORT", "")
        self.rate_limit_knowledge_embedding: Rate | None = env.rate("RATE_LIMIT_KNOWLEDGE_EMBEDDING", "")
        self.rate_limit_whatsapp_number: Rate | None = env.rate("RATE_LIMIT_WHATSAPP_NUMBER", "")

        self.web_threads = env.int("WEB_THREADS", 8, validate=_POSITIVE)
        self.web_address_unfinished = env.int("WEB_ADDRESS_UNFINISHED_REQUESTS", 100, validate=_POSITIVE)
        self.web_body_memory = env.int("WEB_BODY_MEMORY_MB", 64, validate=_POSITIVE)
        self.widget_max_streams = env.int("WIDGET_MAX_STREAMS", 10_000, validate=_POSITIVE)
        self.widget_address_max_streams = env.int("WIDGET_ADDRESS_MAX_STREAMS", 500, validate=_POSITIVE)
        self.widget_chatbot_max_streams = env.int("WIDGET_CHATBOT_MAX_STREAMS", 5_000, validate=_POSITIVE)
        self.widget_messages_per_minute = env.int("WIDGET_MESSAGES_PER_MINUTE", 20, validate=_POSITIVE)
        self.widget_chatbot_messages_per_minute = env.int("WIDGET_CHATBOT_MESSAGES_PER_MINUTE", 600, validate=_POSITIVE)
        self.widget_address_messages_per_minute = env.int("WIDGET_ADDRESS_MESSAGES_PER_MINUTE", 200, validate=_POSITIVE)
        self.widget_token_days = env.int("WIDGET_TOKEN_DAYS", 30, validate=_POSITIVE)
        self.widget_sessions_per_minute = env.int("WIDGET_SESSIONS_PER_MINUTE", 120, validate=_POSITIVE)
        self.api_requests_per_minute = env.int("API_REQUESTS_PER_MINUTE", 600, validate=_POSITIVE)
        self.trusted_proxies = env.int("TRUSTED_PROXIES", 0, validate=validate.Range(0, 10))
        self.smtp_url: str = env.smtp_url("SMTP_URL", "")
        self.mail_from = env.str("MAIL_FROM", "")
        self.public_url = env.str("PUBLIC_URL", "", validate=_HTTP_URL_OR_NONE)
        self.allowed_hosts: list[str] = env.list("ALLOWED_HOSTS", [], subcast=str)
        self.dashboard_user = env.str("DASHBOARD_USER", "")
        self.dashboard_password = env.str("DASHBOARD_PASSWORD", "")
        self.metrics_token = env.str("METRICS_TOKEN", "")
        self.operator_token = env.str("OPERATOR_TOKEN", "")
        self.sentry_dsn = env.str("SENTRY_DSN", "")
        self.sentry_environment = env.str("SENTRY_ENVIRONMENT", "production")
        self.log_level = env.str("LOG_LEVEL", "INFO", validate=_LOG_LEVEL)

        for name in _SIZES:
            env.size(name, "")
        env.size("WEB_CONCURRENCY", "1", may_be_empty=False)  # gunicorn reads it, too
        env.port("PORT", "")
        env.str("WEB_HOST", "", validate=_HOST)

    @property
    def redis_address(self) -> str:
        """The URL to connect to: REDIS_URL, or made of REDIS_HOST, REDIS_PORT and REDIS_PASSWORD."""
        if self.redis_url:
            return self.redis_url
        secret = f":{quote(self.redis_password, safe='')}@" if self.redis_password else ""
        return f"redis://{secret}{self.redis_host}:{self.redis_port}/0"


def read_settings() -> Settings:
    """Reads the environment. Raises ConfigError, which names every variable that is wrong."""
    env = Env(eager=False)
    read = Settings(env)
    try:
        env.seal()
    except EnvValidationError as problem:
        messages = cast(Mapping[str, list[str]], problem.error_messages)
        raise ConfigError("\n".join(f"{name}: {' '.join(texts)}" for name, texts in messages.items())) from None
    return read


def host_of(url: str) -> str:
    """Hosts and ports of a URL, for messages: never its credentials."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "an address without a host"
    except ValueError:
        return "an address that is no URL"


_loaded: Settings | None = None


def settings() -> Settings:
    """This process's settings. If they are wrong, ends the process and says what is wrong."""
    global _loaded  # noqa: PLW0603 - the one place where a process keeps its settings
    if _loaded is None:
        try:
            _loaded = read_settings()
        except ConfigError as problem:
            sys.exit(f"Switchboard did not start: these settings are wrong (.env.example explains them).\n{problem}")
    return _loaded


def reset() -> None:
    """Reads the environment again at the next call of settings(). For programs that change it: tests, bench, chaos."""
    global _loaded  # noqa: PLW0603
    _loaded = None
