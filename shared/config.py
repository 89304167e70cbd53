"""The only reader of the environment: read once, checked whole, `.env.example` mirrors it.

A process with a missing or malformed setting stops at once and names the variable.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import quote, urlsplit

from environs import Env, EnvError, validate

from shared.broker import rates

AMBIGUOUS_POLICIES = ("resend", "hold")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class ConfigError(Exception):
    """A setting is missing or malformed; the text names it and says what it wants."""


def _setting(reader: str, name: str, default: Any = ..., check: Any = None, **options: Any) -> Any:
    """A settings field, read as `reader` (a method of environs.Env) from the variable `name`."""
    return field(metadata={"reader": reader, "name": name, "default": default, "check": check, "options": options})


def _positive(name: str, default: float, reader: str = "float") -> Any:
    return _setting(reader, name, default, validate.Range(min=0, min_inclusive=False))


def _url(name: str, default: Any = ...) -> Any:
    return _setting("str", name, default, validate.Regexp(r"^https?://[^\s/]+", error="want an http(s) URL"))


def _text(name: str, default: Any = "") -> Any:
    return _setting("str", name, default)


def _rate(name: str) -> Any:
    return _setting("str", name, "", validate.Regexp(f"^(?:{rates.PATTERN.pattern})?$", error=rates.WANTED))


@dataclass(frozen=True)
class Settings:
    """Times are in seconds."""

    database_url: str = _setting("str", "DATABASE_URL", ..., validate.Regexp(r"^postgres(ql)?://", error="want postgresql://…"))
    db_pool_size: int = _positive("DB_POOL_SIZE", 8, "int")
    redis_url: str = _setting("str", "REDIS_URL", "", validate.Regexp(r"^$|^rediss?://|^unix://", error="want redis://…"))
    redis_host: str = _text("REDIS_HOST")
    redis_port: int = _positive("REDIS_PORT", 6379, "int")
    redis_password: str = _text("REDIS_PASSWORD")
    redis_namespace: str = _setting("str", "REDIS_NAMESPACE", "dramatiq", validate.Regexp(r"^[\w-]+$"))
    credentials_key: str = _text("CREDENTIALS_KEY", ...)
    openai_base_url: str = _url("OPENAI_BASE_URL", "https://api.openai.com/v1")
    openai_api_key: str = _text("OPENAI_API_KEY")
    ai_timeout: float = _positive("AI_TIMEOUT_SECONDS", 45)
    graph_url: str = _url("WHATSAPP_GRAPH_URL", "https://graph.facebook.com")
    graph_version: str = _setting(
        "str", "WHATSAPP_GRAPH_VERSION", "v25.0", validate.Regexp(r"^v\d+\.\d+$", error="want v25.0 or alike")
    )
    qr_service_url: str = _url("WHATSAPP_QR_SERVICE_URL", "http://127.0.0.1:3000")
    qr_api_key: str = _text("WHATSAPP_QR_API_KEY")
    whatsapp_verify_token: str = _text("WHATSAPP_VERIFY_TOKEN")
    whatsapp_app_secret: str = _text("WHATSAPP_APP_SECRET")
    qr_webhook_secret: str = _text("WHATSAPP_QR_WEBHOOK_SECRET")
    http_timeout: float = _positive("HTTP_TIMEOUT_SECONDS", 10)
    webhooks_to_private: bool = _setting("bool", "WEBHOOK_ALLOW_PRIVATE_ADDRESSES", False)
    ambiguous_send: str = _setting("str", "AMBIGUOUS_SEND", "resend", validate.OneOf(AMBIGUOUS_POLICIES))
    ambiguous_wait: float = _positive("AMBIGUOUS_SEND_WAIT_SECONDS", 10)
    keep_completed: float = _positive("KEEP_COMPLETED_JOBS_SECONDS", 3600)
    keep_failed: float = _positive("KEEP_FAILED_JOBS_SECONDS", 86400)
    job_lease: float = _positive("JOB_LEASE_SECONDS", 15)
    job_max_age: float = _positive("JOB_MAX_AGE_SECONDS", 3600)
    sweep_interval: float = _positive("SWEEP_INTERVAL_SECONDS", 5)
    rate_limit_incoming_messages: str = _rate("RATE_LIMIT_INCOMING_MESSAGES")
    rate_limit_ai_processing: str = _rate("RATE_LIMIT_AI_PROCESSING")
    rate_limit_outgoing_messages: str = _rate("RATE_LIMIT_OUTGOING_MESSAGES")
    rate_limit_whatsapp_cloud_send: str = _rate("RATE_LIMIT_WHATSAPP_CLOUD_SEND")
    rate_limit_whatsapp_qr_send: str = _rate("RATE_LIMIT_WHATSAPP_QR_SEND")
    rate_limit_webhook_delivery: str = _rate("RATE_LIMIT_WEBHOOK_DELIVERY")
    rate_limit_whatsapp_number: str = _rate("RATE_LIMIT_WHATSAPP_NUMBER")
    widget_max_streams: int = _positive("WIDGET_MAX_STREAMS", 500, "int")
    widget_messages_per_minute: int = _positive("WIDGET_MESSAGES_PER_MINUTE", 20, "int")
    widget_chatbot_messages_per_minute: int = _positive("WIDGET_CHATBOT_MESSAGES_PER_MINUTE", 600, "int")
    widget_sessions_per_minute: int = _positive("WIDGET_SESSIONS_PER_MINUTE", 120, "int")
    api_requests_per_minute: int = _positive("API_REQUESTS_PER_MINUTE", 600, "int")
    trusted_proxies: int = _setting("int", "TRUSTED_PROXIES", 0, validate.Range(0, 10))
    dashboard_user: str = _text("DASHBOARD_USER")
    dashboard_password: str = _text("DASHBOARD_PASSWORD")
    metrics_token: str = _text("METRICS_TOKEN")
    sentry_dsn: str = _text("SENTRY_DSN")
    sentry_environment: str = _text("SENTRY_ENVIRONMENT", "production")
    log_level: str = _setting("str", "LOG_LEVEL", "INFO", validate.OneOf(LOG_LEVELS))

    @property
    def redis_address(self) -> str:
        """The URL to connect to: REDIS_URL, or made of REDIS_HOST, REDIS_PORT and REDIS_PASSWORD."""
        if self.redis_url:
            return self.redis_url
        secret = f":{quote(self.redis_password, safe='')}@" if self.redis_password else ""
        return f"redis://{secret}{self.redis_host}:{self.redis_port}/0"


def variables() -> dict[str, Any]:
    """Each variable with its default (`...` where it is required)."""
    return {f.metadata["name"]: f.metadata["default"] for f in fields(Settings)}


def read_settings() -> Settings:
    """Reads the environment. Raises ConfigError, which names every variable that is wrong."""
    env, values, problems = Env(), {}, []
    for spec in (f.metadata | {"attribute": f.name} for f in fields(Settings)):
        try:
            values[spec["attribute"]] = _read(env, spec)
        except EnvError as problem:
            problems.append(_explain(spec["name"], str(problem)))
    settings = Settings(**values) if not problems else None
    if settings is not None and not (settings.redis_url or settings.redis_host):
        problems.append("REDIS_URL: not set; want redis://host:6379/0, or set REDIS_HOST")
    if settings is None or problems:
        raise ConfigError("\n".join(problems))
    return settings


def _read(env: Env, spec: dict[str, Any]) -> Any:
    checks = [spec["check"]] if spec["check"] is not None else []
    value = getattr(env, spec["reader"])(spec["name"], spec["default"], validate=checks, **spec["options"])
    if isinstance(value, str) and spec["default"] is ... and not value.strip():
        raise EnvError("is empty")
    return value


def _explain(name: str, problem: str) -> str:
    # environs repeats the variable's value in some texts; a password in a URL must not reach a log.
    text = re.sub(r"://[^@\s]*@", "://…@", problem.replace(f'Environment variable "{name}"', "").strip(" :"))
    return f"{name}: {text} (see .env.example)"


def _settings_or_exit() -> Settings:
    try:
        return read_settings()
    except ConfigError as problem:
        sys.exit(f"switchboard: configuration is wrong, nothing was started\n{problem}")


def host_of(url: str) -> str:
    """Host and port of a URL, for messages: never its credentials."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


_loaded: Settings | None = None


def settings() -> Settings:
    """This process's settings; stops the process, naming the variable, when they are wrong."""
    global _loaded  # noqa: PLW0603 - the one place where a process keeps its settings
    if _loaded is None:
        _loaded = _settings_or_exit()
    return _loaded


def reset() -> None:
    """Forgets the settings; for programs that change their environment (tests, the laboratory)."""
    global _loaded  # noqa: PLW0603
    _loaded = None
