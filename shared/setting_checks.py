"""What a setting may look like, where that takes more than a range: addresses, names, secrets. For shared/config.py alone.

No text shows a value: it may be a secret.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from environs import ValidationError, validate

REDIS_HOST = validate.Regexp(
    r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]*)\Z",
    error="Must be a name or an address, without redis:// and port; REDIS_URL takes both.",
)
ALLOWED_HOST = validate.Regexp(
    r"^(\.?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?\Z",
    error="Must be names by commas, like chat.example, .shop.example; an international one as browsers send it, xn--….",
)
BUCKET = validate.Regexp(
    r"^([A-Za-z0-9][A-Za-z0-9_.-]{1,61}[A-Za-z0-9]|)\Z", error="Must be a bucket's name of 3 to 63 characters, or empty."
)
_BUCKET_URL = validate.Regexp(
    r"^(https?://[^\s/?#@]+/?|)\Z", error="Must be a service's address without a path, like https://minio.example:9000, or empty."
)
MAIL_FROM = validate.Regexp(
    r"^([^@<>\r\n]*<[^@<>\s]+@[^@<>\s]+>|[^@<>\s]+@[^@<>\s]+|)\Z",
    error="Must be an address like Switchboard <chat@example.com>, or empty.",
)
#: What no secret is: in quotes, which `docker run --env-file` and Kubernetes take for a part of it, or a ${NAME} that nobody
#: has replaced.
_AS_MEANT = r"(?!([\"']).*\1\Z|\$\{\w+\}\Z)"
_NOT_AS_MEANT = "Must have no quotes around it, and not be a variable in braces that is still to be replaced"
SECRET = validate.Regexp(
    rf"^{_AS_MEANT}[\x21-\x7e]*\Z", error=f"{_NOT_AS_MEANT}; no spaces, line breaks or accented letters, also at its end."
)
#: What people type into another program's page, or copy from it: text, in which only what surrounds it can be a mistake.
TYPED_SECRET = validate.Regexp(
    rf"^{_AS_MEANT}([^\s\x00-\x1f\ud800-\udfff]([^\x00-\x1f\ud800-\udfff]*[^\s\x00-\x1f\ud800-\udfff])?|)\Z",
    error=f"{_NOT_AS_MEANT}; no line breaks, and no spaces around it, also at its end.",
)
USER_NAME = validate.Regexp(r"^[^:\s\x00-\x1f\ud800-\udfff]*\Z", error="Must be a name without colons and spaces, or empty.")
WEB_HOST = validate.Regexp(
    r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*|)\Z",
    error="Must be an address; one of IPv6 in brackets, like [::1].",
)
SENTRY_ENVIRONMENT = validate.Regexp(
    r"^(?!(?i:none)\Z)[^\s/\x00-\x1f\ud800-\udfff]{0,64}\Z",
    error="Must be a name of up to 64 characters without spaces and slashes, and not None: Sentry takes no other.",
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
        name = parts.hostname or ""
        return bool(name) and name.isprintable() and bool(":" in name or name.encode("idna")) and parts.port != 0
    except ValueError:  # among them UnicodeError: an empty part of the name, or one of more than 63 characters
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


def is_model_url(url: str) -> None:
    """Raises ValidationError. An AI provider's address may end in ?api-version=…, as Azure's does."""
    if any(character.isspace() or character == "#" for character in url):
        raise ValidationError("Must be a URL without spaces and #, like https://example.com/v1.")
    is_http_url(url.partition("?")[0])


def is_model_url_or_empty(url: str) -> None:
    """Raises ValidationError."""
    if url:
        is_model_url(url)


def _is_http(url: str) -> bool:
    """Paths are added to it, so it may have no query and no fragment."""
    return bool(re.fullmatch(r"https?://[^\s?#]+", url)) and has_valid_port(url)


def is_sentry_dsn(text: str) -> None:
    """Raises ValidationError: sentry-sdk would end the process with a traceback."""
    if text and not (re.fullmatch(r"https?://[^\s/@]+@[^\s/@]+/(\S+/)?\d+", text) and has_valid_port(text)):
        raise ValidationError("Must be a DSN as Sentry shows it, like https://key@sentry.example/42, or empty.")


def is_folder(path: str) -> None:
    """Raises ValidationError where no folder can be. Whether it takes files is /readyz's to say: that changes."""
    try:
        is_written_well = bool(path) and path == path.strip().strip("\"'") and min(path) >= " " and "://" not in path
        is_possible = is_written_well and stat.S_ISDIR(_nearest(Path(path).absolute()).st_mode)
    except (OSError, ValueError):  # a name that is too long, or that no file system takes
        is_possible = False
    if not is_possible:
        raise ValidationError("Must be a folder, or a place where one can be made. A bucket's name goes into MEDIA_BUCKET.")


def _nearest(place: Path) -> os.stat_result:
    """What is there, or else the nearest of what is above it. Raises OSError and ValueError, of which Path.exists() says nothing
    from Python 3.14 on."""
    try:
        return place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _nearest(place.parent)


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
