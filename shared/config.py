"""The only reader of the environment: read once, checked as a whole. `.env.example` explains each setting.

A process with a missing or malformed setting stops at once and names the variable. No text shows a value: it may be a secret.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import cast
from urllib.parse import quote, urlsplit

from environs import Env, EnvValidationError, validate

from shared import setting_checks as checks
from shared.setting_types import PARSERS, Rate

#: More than the most is no number that anybody means, and none that sockets, clocks and PostgreSQL can take.
_POSITIVE = validate.Range(0, 1_000_000_000, min_inclusive=False, error="Must be greater than 0, and at most 1000000000.")
_DAYS = validate.Range(1, 36_500, error="Must be a number of days from 1 to 36500.")
_DAYS_OR_FOR_EVER = validate.Range(0, 36_500, error="Must be a number of days up to 36500, or 0 for ever.")
#: Providers deliver a message again for a week, and would bring back what was deleted before.
_NEVER_OR_A_WEEK = (
    _DAYS_OR_FOR_EVER,
    validate.NoneOf(range(1, 7), error="Must be at least 7 days, or 0 for ever."),
)
_PORT = validate.Range(1, 65535, error="Must be a port, a whole number from 1 to 65535.")
_NAMESPACE = validate.Regexp(r"^[\w-]+\Z", error="Must consist of letters, digits, _ and -.")
_GRAPH_VERSION = validate.Regexp(r"^v\d+\.\d+\Z", error="Must be a version like v25.0.")
_AMBIGUOUS_SEND = validate.OneOf(("resend", "hold"), error="Must be one of: {choices}.")
_LOG_LEVEL = validate.OneOf(("DEBUG", "INFO", "WARNING", "ERROR"), error="Must be one of: {choices}.")
#: What is right, where environs says only what is not.
_WANTED = {
    "Not a valid integer.": "Must be a whole number.",
    "Not a valid number.": "Must be a number.",
    "Not a valid boolean.": "Must be true or false.",
}
#: Sizes of the process types. The Procfile reads them, and no module; here each process checks that they are numbers.
_SIZES = (
    *("WEB_PROCESSES", "INCOMING_PROCESSES", "INCOMING_THREADS", "AI_PROCESSES", "AI_THREADS"),
    *("MEDIA_PROCESSES", "MEDIA_THREADS"),
    *("OUTGOING_PROCESSES", "OUTGOING_THREADS", "WHATSAPP_CLOUD_PROCESSES", "WHATSAPP_CLOUD_THREADS", "WHATSAPP_QR_PROCESSES"),
    *("WHATSAPP_QR_THREADS", "WEBHOOKS_PROCESSES", "WEBHOOKS_THREADS", "KNOWLEDGE_PROCESSES", "KNOWLEDGE_THREADS"),
    *("TELEGRAM_PROCESSES", "TELEGRAM_THREADS", "WORKER_PROCESSES", "WORKER_THREADS"),
)


class ConfigError(Exception):
    """Settings are missing or malformed; the text has a line for each."""


class Settings:
    """Times are in seconds. `seal()` of the environment that it read tells whether they are all right."""

    def __init__(self, env: Env) -> None:
        for kind, parse in PARSERS.items():
            env.add_parser(kind, parse)
        env.add_parser("hosts", checks.parse_hosts)

        self.database_url: str = env.database_url("DATABASE_URL")
        self.db_pool_size = env.int("DB_POOL_SIZE", 8, validate=_POSITIVE)
        self.redis_host = env.str("REDIS_HOST", "", validate=checks.REDIS_HOST)
        self.redis_url: str = env.redis_url("REDIS_URL", "", host=self.redis_host)
        self.redis_port = env.int("REDIS_PORT", 6379, validate=_PORT)
        self.redis_password = env.str("REDIS_PASSWORD", "", validate=checks.TYPED_SECRET)
        self.redis_tls_verify = env.bool("REDIS_TLS_VERIFY", True)
        self.redis_ca_file = env.str("REDIS_CA_FILE", "", validate=checks.is_ca_file)
        self.redis_pool_size = env.int("REDIS_POOL_SIZE", 1, validate=_POSITIVE)
        self.redis_namespace = env.str("REDIS_NAMESPACE", "dramatiq", validate=_NAMESPACE)
        self.credentials_key: str = env.credentials_key("CREDENTIALS_KEY")

        self.openai_base_url: str = env.http_url("OPENAI_BASE_URL", "https://api.openai.com/v1", validate=checks.is_model_url)
        self.openai_api_key = env.str("OPENAI_API_KEY", "", validate=checks.SECRET)
        self.ai_timeout = env.float("AI_TIMEOUT_SECONDS", 45, validate=_POSITIVE)
        self.ai_patience = env.float("AI_PATIENCE_SECONDS", 60, validate=_POSITIVE)
        self.knowledge_characters = env.int("PROMPT_KNOWLEDGE_CHARACTERS", 20_000, validate=_POSITIVE)
        self.history_characters = env.int("PROMPT_HISTORY_CHARACTERS", 24_000, validate=_POSITIVE)
        self.most_imported_items = env.int("KNOWLEDGE_MAX_IMPORTED_ITEMS", 100_000, validate=_POSITIVE)
        self.reply_limit: Rate | None = env.reply_limit("CONVERSATION_REPLY_LIMIT", "60/10m")
        self.answer_within: int = env.duration("ANSWER_WITHIN", "24h")
        self.brake_seconds = env.float("CONVERSATION_BRAKE_SECONDS", 1800, validate=_POSITIVE)
        self.embedding_base_url: str = env.http_url("EMBEDDING_BASE_URL", "", validate=checks.is_model_url_or_empty)
        self.embedding_api_key = env.str("EMBEDDING_API_KEY", "", validate=checks.SECRET)
        self.embedding_timeout = env.float("EMBEDDING_TIMEOUT_SECONDS", 2, validate=_POSITIVE)
        self.graph_url: str = env.http_url("WHATSAPP_GRAPH_URL", "https://graph.facebook.com", validate=checks.is_http_url)
        self.graph_version = env.str("WHATSAPP_GRAPH_VERSION", "v25.0", validate=_GRAPH_VERSION)
        self.graph_media_url: str = env.http_url("WHATSAPP_MEDIA_URL", "https://lookaside.fbsbx.com", validate=checks.is_http_url)
        self.qr_service_url: str = env.http_url("WHATSAPP_QR_SERVICE_URL", "http://127.0.0.1:3000", validate=checks.is_http_url)
        self.qr_api_key = env.str("WHATSAPP_QR_API_KEY", "", validate=checks.SECRET)
        self.whatsapp_verify_token = env.str("WHATSAPP_VERIFY_TOKEN", "", validate=checks.TYPED_SECRET)
        self.whatsapp_app_secret = env.str("WHATSAPP_APP_SECRET", "", validate=checks.TYPED_SECRET)
        self.qr_webhook_secret = env.str("WHATSAPP_QR_WEBHOOK_SECRET", "", validate=checks.TYPED_SECRET)
        self.telegram_url: str = env.http_url("TELEGRAM_API_URL", "https://api.telegram.org", validate=checks.is_http_url)
        self.http_timeout = env.float("HTTP_TIMEOUT_SECONDS", 10, validate=_POSITIVE)
        self.webhooks_to_private = env.bool("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", False)
        self.redelivery_schedule: tuple[int, ...] = env.schedule("WEBHOOK_REDELIVERY_SCHEDULE", "5m,30m,2h,5h,10h,10h")
        self.webhook_disable_after = env.duration("WEBHOOK_DISABLE_AFTER", "5d")
        self.ambiguous_send = env.str("AMBIGUOUS_SEND", "resend", validate=_AMBIGUOUS_SEND)
        self.ambiguous_wait = env.float("AMBIGUOUS_SEND_WAIT_SECONDS", 10, validate=_POSITIVE)

        self.media_bucket = env.str("MEDIA_BUCKET", "", validate=(checks.BUCKET, checks.has_minio))
        self.media_folder = env.str("MEDIA_FOLDER", "media", validate=[] if self.media_bucket else checks.is_folder)
        self.media_endpoint: str = env.http_url("MEDIA_BUCKET_URL", "", validate=checks.is_bucket_url)
        self.media_max = env.int("MEDIA_MAX_MB", 16, validate=validate.Range(1, 100))
        self.media_quota = env.int("MEDIA_QUOTA_MB", 5_000, validate=_POSITIVE)
        self.media_timeout = env.float("MEDIA_TIMEOUT_SECONDS", 30, validate=_POSITIVE)
        self.keep_messages_days = env.int("KEEP_MESSAGES_DAYS", 0, validate=_NEVER_OR_A_WEEK)
        self.keep_media_days = env.int("KEEP_MEDIA_DAYS", 90, validate=_DAYS)

        self.keep_completed = env.float("KEEP_COMPLETED_JOBS_SECONDS", 3600, validate=_POSITIVE)
        self.keep_failed = env.float("KEEP_FAILED_JOBS_SECONDS", 86400, validate=_POSITIVE)
        self.keep_dead_letters_days = env.int("KEEP_DEAD_LETTERS_DAYS", 30, validate=_DAYS)
        self.keep_audit_days = env.int("KEEP_AUDIT_DAYS", 730, validate=_DAYS_OR_FOR_EVER)
        self.keep_webhook_attempts_days = env.int("KEEP_WEBHOOK_ATTEMPTS_DAYS", 30, validate=_DAYS)
        self.keep_webhook_events_days = env.int("KEEP_WEBHOOK_EVENTS_DAYS", 90, validate=_DAYS)
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
        self.widget_token_days = env.int("WIDGET_TOKEN_DAYS", 30, validate=_DAYS)
        self.widget_sessions_per_minute = env.int("WIDGET_SESSIONS_PER_MINUTE", 120, validate=_POSITIVE)
        self.api_requests_per_minute = env.int("API_REQUESTS_PER_MINUTE", 600, validate=_POSITIVE)
        self.trusted_proxies = env.int("TRUSTED_PROXIES", 0, validate=validate.Range(0, 10))
        self.smtp_url: str = env.smtp_url("SMTP_URL", "")
        self.mail_from = env.str("MAIL_FROM", "", validate=checks.MAIL_FROM)
        self.public_url: str = env.http_url("PUBLIC_URL", "", validate=checks.is_http_url_or_empty)
        self.allowed_hosts: list[str] = env.hosts("ALLOWED_HOSTS", "")
        self.dashboard_user = env.str("DASHBOARD_USER", "", validate=checks.USER_NAME)
        self.dashboard_password = env.str("DASHBOARD_PASSWORD", "", validate=checks.TYPED_SECRET)
        self.metrics_token = env.str("METRICS_TOKEN", "", validate=checks.SECRET)
        self.operator_token = env.str("OPERATOR_TOKEN", "", validate=checks.SECRET)
        self.sentry_dsn: str = env.http_url("SENTRY_DSN", "", validate=checks.is_sentry_dsn)
        self.sentry_environment = env.str("SENTRY_ENVIRONMENT", "production", validate=checks.SENTRY_ENVIRONMENT)
        self.log_level = env.str("LOG_LEVEL", "INFO", validate=_LOG_LEVEL)

        for name in _SIZES:
            env.size(name, "")
        env.size("WEB_CONCURRENCY", "1", may_be_empty=False)  # gunicorn reads it, too
        env.port("PORT", "")
        env.str("WEB_HOST", "", validate=checks.WEB_HOST)

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
        wrong = {name: " ".join(_WANTED.get(text, text) for text in texts) for name, texts in messages.items()}
        raise ConfigError("\n".join(f"{name}: {text}" for name, text in wrong.items())) from None
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
