"""What a setting may look like, where that takes more than a range: addresses, names, secrets. For shared/config.py alone.

No text shows a value: it may be a secret.
"""

from __future__ import annotations

import re
import ssl
from importlib.util import find_spec
from urllib.parse import urlsplit

from environs import ValidationError, validate

REDIS_HOST = validate.Regexp(
    r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]*)\Z",
    error="Must be a name or an address, without redis:// and port; REDIS_URL takes both.",
)
ALLOWED_HOST = validate.Regexp(
    r"^(\.?[^\s:/@\[\]*]+|\[[0-9A-Fa-f:.]+\])(:\d+)?\Z", error="Must be names by commas, like chat.example, .shop.example."
)
BUCKET = validate.Regexp(
    r"^([A-Za-z0-9][\w.-]{1,61}[A-Za-z0-9]|)\Z", error="Must be a bucket's name of 3 to 63 characters, or empty."
)
_BUCKET_URL = validate.Regexp(
    r"^(https?://[^\s/?#@]+/?|)\Z", error="Must be a service's address without a path, like https://minio.example:9000, or empty."
)
MAIL_FROM = validate.Regexp(
    r"^([^@<>\r\n]*<[^@<>\s]+@[^@<>\s]+>|[^@<>\s]+@[^@<>\s]+|)\Z",
    error="Must be an address like Switchboard <chat@example.com>, or empty.",
)
SECRET = validate.Regexp(
    r"^[\x21-\x7e]*\Z", error="Must have no spaces, line breaks or accented letters; does it end in a line break?"
)


def parse_hosts(text: str) -> list[str]:
    """The names under which web is reached. Raises ValidationError."""
    hosts = [host.strip() for host in text.split(",") if host.strip()]
    for host in hosts:
        ALLOWED_HOST(host)
    return hosts


def has_valid_port(url: str) -> bool:
    """Whether what stands behind the host is a port, and the host itself is one."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_http_url(url: str) -> None:
    """Raises ValidationError."""
    if not _is_http(url):
        raise ValidationError("Must be a URL like https://example.com.")


def is_http_url_or_empty(url: str) -> None:
    """Raises ValidationError."""
    if url and not _is_http(url):
        raise ValidationError("Must be a URL like https://example.com, or empty.")


def is_bucket_url(url: str) -> None:
    """Raises ValidationError."""
    _BUCKET_URL(url)
    is_http_url_or_empty(url)


def _is_http(url: str) -> bool:
    return bool(re.fullmatch(r"https?://\S+", url)) and has_valid_port(url)


def is_sentry_dsn(text: str) -> None:
    """Raises ValidationError: sentry-sdk would end the process with a traceback."""
    if text and not (re.fullmatch(r"https?://[^\s/@]+@[^\s/@]+/(\S+/)?\d+", text) and has_valid_port(text)):
        raise ValidationError("Must be a DSN as Sentry shows it, like https://key@sentry.example/42, or empty.")


def has_minio(bucket: str) -> None:
    """Raises ValidationError where the bucket could not be reached for want of a package."""
    if bucket and find_spec("minio") is None:
        raise ValidationError("Needs the package minio: pip install -r bin/requirements-s3.txt.")


def is_ca_file(path: str) -> None:
    """Raises ValidationError."""
    if not path:
        return
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # ssl.SSLError is one: there is no certificate in it
        raise ValidationError(
            "This is not a file of certificates. Name the PEM file of a certificate authority, or leave it empty."
        ) from None
