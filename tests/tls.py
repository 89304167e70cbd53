"""TLS with a certificate of one's own, as platforms put it in front of Redis; and a proxy that holds it."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def self_signed(folder: Path, host: str = "localhost") -> Path:
    """A certificate for this host that nobody else signed, with its key, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=1))
    # What Python 3.13 and newer look for.
    signs_itself = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
    for extension, is_critical in (
        (x509.SubjectAlternativeName([x509.DNSName(host)]), False),
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),
        (signs_itself, True),
    ):
        builder = builder.add_extension(extension, critical=is_critical)
    pem, private, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / f"{host}.pem"
    file.write_bytes(key.private_bytes(pem, private, plain) + builder.sign(key, hashes.SHA256()).public_bytes(pem))
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
            answers = threading.Thread(target=_copy, args=(server, client), daemon=True)
            answers.start()
            _copy(client, server)
            answers.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until one of them hangs up; then both do. A close alone ends no connection on which the other thread waits."""
    with suppress(OSError, ValueError):
        while chunk := source.recv(65_536):
            target.sendall(chunk)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
