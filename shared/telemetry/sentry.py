"""Errors to Sentry."""

from __future__ import annotations

import sentry_sdk
from sentry_sdk.integrations.dramatiq import DramatiqIntegration

from shared.config import Settings


def configure_sentry(conf: Settings) -> None:
    """Reports errors if SENTRY_DSN is set: without local variables and bodies, for those hold customers' messages."""
    if conf.sentry_dsn:
        sentry_sdk.init(
            dsn=conf.sentry_dsn,
            environment=conf.sentry_environment,
            integrations=[DramatiqIntegration()],
            include_local_variables=False,
            max_request_body_size="never",
            send_default_pii=False,
        )
