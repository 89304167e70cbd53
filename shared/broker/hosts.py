"""Connections to Redis whose host is looked up in time: redis-py would do it without a deadline."""

from __future__ import annotations

from typing import Any

from redis.connection import Connection, SSLConnection

from shared.dns import services


class NamedConnection(Connection):
    """A TCP connection to the first of its host's addresses that accepts one."""

    def _connect(self) -> Any:
        name, problem = self.host, OSError()
        try:
            for address in services.addresses(name, self.socket_connect_timeout or 0.0):
                self.host = address
                try:
                    return super()._connect()  # type: ignore[no-untyped-call]
                except OSError as failed:
                    problem = failed
            raise problem
        finally:
            self.host = name  # which the certificate and errors name


class NamedTlsConnection(SSLConnection, NamedConnection):
    """The same with TLS."""
