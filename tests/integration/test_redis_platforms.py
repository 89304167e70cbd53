"""Redis as platforms give it: behind TLS with a certificate of their own, for a user with few rights, with few connections."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared import config
from shared.broker import redis_broker
from shared.broker.connection import connect_redis
from shared.config import settings


def self_signed(folder: Path) -> Path:
    """A certificate for localhost that nobody else signed, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=1))
    certificate = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem, private, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "redis.pem"
    file.write_bytes(certificate.sign(key, hashes.SHA256()).public_bytes(pem) + key.private_bytes(pem, private, plain))
    return file


class TlsProxy(socketserver.ThreadingTCPServer):
    """TLS in front of a server that speaks none, as stunnel does it."""

    daemon_threads = True

    def __init__(self, certificate: Path, target: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Through)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.target, self.port = target, self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Through(socketserver.BaseRequestHandler):
    server: TlsProxy

    def handle(self) -> None:
        with (
            suppress(OSError),  # a client that does not trust us hangs up
            self.server.context.wrap_socket(self.request, server_side=True) as client,
            socket.create_connection(self.server.target) as server,
        ):
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            _copy(client, server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while chunk := source.recv(65_536):
            target.sendall(chunk)


@pytest.fixture
def tls(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """REDIS_URL as Heroku sets it; yields the certificate's file."""
    certificate = self_signed(tmp_path)
    port = int(environment["REDIS_URL"].split(":")[-1].split("/")[0])
    proxy = TlsProxy(certificate, ("127.0.0.1", port))
    monkeypatch.setenv("REDIS_URL", f"rediss://localhost:{proxy.port}/0")
    config.reset()
    redis_broker.reset()
    yield certificate
    proxy.shutdown()
    proxy.server_close()


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: Path) -> None:
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        connect_redis(settings()).ping()


@pytest.mark.parametrize("text", ["false", "0", "no"])
def test_it_is_accepted_if_a_setting_says_so(tls: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("REDIS_TLS_VERIFY", text)
    config.reset()
    assert connect_redis(settings()).ping()


def test_it_is_accepted_if_its_authority_is_named(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_CA_FILE", str(tls))
    config.reset()
    assert connect_redis(settings()).ping()


def test_what_the_address_itself_says_about_tls_counts(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"{settings().redis_url}?ssl_cert_reqs=none")
    config.reset()
    assert connect_redis(settings()).ping()


def test_an_authority_that_is_not_there_is_named_at_start(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REDIS_CA_FILE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(config.ConfigError, match=r"REDIS_CA_FILE: .*not a file"):
        config.read_settings()
