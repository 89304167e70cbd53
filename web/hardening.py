"""What every request and answer goes through: the host and the address, how large a body may be, and the security headers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import BadRequest, HTTPException, NotFound, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.routing import IntegerConverter
from werkzeug.sansio.utils import host_is_trusted

from shared.channels.inbound import Headers
from shared.config import settings
from shared.payloads import MAX_ROW_ID
from shared.telemetry.sentry import forget_trace
from web.assets import is_current
from web.json_bodies import SafeJson, SafeRequest

#: Bytes of a body, where a route does not say otherwise (`max_body`).
MAX_BODY = 64 * 1024

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
#: Content-Security-Policy of a page without scripts and forms.
PAGE_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#: A year; browsers apply it over https only.
_HSTS = "max-age=31536000"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What load balancers ask by an address of the machine.
ANY_HOST = ("/healthz", "/readyz")
#: Seconds for which a browser keeps a file whose address names what is in it.
_FOREVER = 31_536_000


class WholeNumber(IntegerConverter):
    """A number of a path as we write it. 07 and digits of other scripts would be second addresses of the same row, which whoever
    looks for what was kept of a path (web/api/idempotency.py) would not find."""

    regex = "0|[1-9][0-9]{0,18}"


class Application(Flask):
    """Flask, for Sentry wraps its `__call__`, and this has to come before."""

    def get_send_file_max_age(self, filename: str | None) -> int | None:
        """How long browsers keep a static file; others they ask for again."""
        return _FOREVER if is_current(filename, request.args.get("v", "")) else super().get_send_file_max_age(filename)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        forget_trace(environ)
        return super().__call__(environ, start_response)


View = TypeVar("View", bound=Callable[..., Any])


def max_body(max_bytes: int, in_memory: int | None = None) -> Callable[[View], View]:
    """Lets a view take bodies of up to so many bytes; written next to the view, under its route.

    One beyond `in_memory` bytes is not in memory, but in a file (web/server/wsgi.py, BODY_FILE).
    """

    def mark(view: View) -> View:
        view.max_body = max_bytes  # type: ignore[attr-defined]  # a note on the function
        view.in_memory = in_memory or max_bytes  # type: ignore[attr-defined]
        return view

    return mark


Proof = Callable[[Headers], bool]
_proofs: dict[str, Proof] = {}


def reads_no_body_without(proof: Proof, blueprint: Blueprint) -> None:
    """Lets a blueprint's views read bodies only of requests whose headers show a proof, whether it is right or not.

    The others get their answer, which then is a refusal, as if their body were empty.
    """
    _proofs[blueprint.name] = proof


def body_limits(app: Flask, environ: dict[str, Any]) -> tuple[int, int]:
    """Bytes of the body that this request's view reads (0: none, no proof, nowhere), and those of them that may be in memory."""
    if environ["REQUEST_METHOD"] not in ("POST", "PUT", "PATCH"):
        return 0, 0
    try:
        endpoint, _ = app.url_map.bind_to_environ(environ).match()
    except HTTPException:
        return 0, 0
    proof = _proofs.get(endpoint.rpartition(".")[0])
    if proof is not None and not proof(EnvironHeaders(environ)):
        return 0, 0
    view = app.view_functions[endpoint]
    max_bytes = int(getattr(view, "max_body", MAX_BODY))
    return max_bytes, int(getattr(view, "in_memory", max_bytes))


def bearer(pattern: re.Pattern[str]) -> Proof:
    """A proof: a bearer token of this shape; its scheme in any case, as who checks the token reads it."""

    def has_token(headers: Headers) -> bool:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and pattern.fullmatch(token.strip()) is not None

    return has_token


def is_foreign(origin: str, host: str) -> bool:
    """Whether a request comes from another site's page. Browsers send `Origin` then; our own page's is our host."""
    return bool(origin) and _site_of(origin) != host


def _site_of(origin: str) -> str:
    """Host and port of an `Origin`; "" for one that no browser writes."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def install(app: Flask) -> None:
    """Puts the limits and the headers in force."""
    app.url_map.converters["int"] = WholeNumber
    app.before_request(_check_address)
    app.before_request(_limit_body)
    app.request_class = SafeRequest
    app.json = SafeJson(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["MAX_FORM_PARTS"] = 20
    app.after_request(_redirect_here)
    app.after_request(_add_security_headers)


def _check_address() -> None:
    """Raises BadRequest for a host that is not ours and a path that no row's name can have, NotFound for an id that none has."""
    hosts = settings().allowed_hosts
    if hosts and request.path not in ANY_HOST and not host_is_trusted(request.host.lower(), hosts):
        raise BadRequest("This host is not served here. Use one of ALLOWED_HOSTS, or add it there.")
    if _CONTROL.search(request.path):
        raise BadRequest("The address has a control character. Remove it.")
    if any(isinstance(value, int) and value > MAX_ROW_ID for value in (request.view_args or {}).values()):
        raise NotFound("No row has this id. Use the id of one of yours.")


def _limit_body() -> None:
    """Refuses by the announced length, also where a view does not read its body; without one, when the body is read.

    A compressed one would be read as it is, and called malformed.
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("A compressed body cannot be read here. Send it without a Content-Encoding.")
    view = current_app.view_functions.get(request.endpoint or "")
    request.max_content_length = max_bytes = getattr(view, "max_body", MAX_BODY)
    if (request.content_length or 0) > max_bytes:
        raise RequestEntityTooLarge


def _redirect_here(answer: Response) -> Response:
    """Takes the host out of a redirect of the router: it is what the request called us, which anybody may choose."""
    if answer.location:
        parts = urlsplit(answer.location)
        answer.location = "/" + urlunsplit(("", "", parts.path.lstrip("/"), parts.query, parts.fragment))
    return answer


def came_by_https() -> bool:
    """Whether the client called us by https: what the first of the proxies in between says of it. Each may add its own."""
    return request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")[0].strip().lower() == "https"


def _add_security_headers(answer: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        answer.headers.setdefault(name, value)
    if came_by_https():
        answer.headers.setdefault("Strict-Transport-Security", _HSTS)
    return answer
