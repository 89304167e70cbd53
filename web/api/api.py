"""/api/v1 for businesses' servers: the blueprint, who may call it, and pages. Its routes are in modules of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar

import flask_smorest
from flask import Response, current_app, g, request
from peewee import ModelSelect
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, NotFound, Unauthorized

from shared import db
from shared.payloads import MAX_ROW_ID
from shared.telemetry.logs import log_context
from web.api import idempotency
from web.api.keys import KEY, owner_of
from web.hardening import bearer, reads_no_body_without
from web.parameters import IDEMPOTENCY_KEY, Parser
from web.request_limits import api_key_headers, check_api_key, check_wrong_key

Row = TypeVar("Row")
View = TypeVar("View", bound=Callable[..., Any])

#: Bytes of a body with a long text: 50,000 characters, each of which JSON may write as \u….
MAX_TEXT_BODY = 384 * 1024
#: What every route may answer, and every route that reads a body.
_PROBLEMS = (400, 401, 404, 429, 503)
_BODY_PROBLEMS = (408, 413, 415, 422)
#: Unknown parameters that are named, and characters of each.
_NAMED, _QUOTED = 5, 40


_KEY_PARAMETER = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "The same key is the same request: within a day it is answered as the first one was.",
    "schema": {"type": "string", "pattern": IDEMPOTENCY_KEY},
}


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's, with our parser; it describes the problems that any route may answer, and names operations."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._prepare_doc_cbks += [self._prepare_key_doc, self._prepare_problems_doc]

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Callable[..., Any] | None = None, *more: Any, **options: Any
    ) -> None:
        """The view's name is its operation's id, and the address's first word the section in which it stands."""
        if view_func is not None:
            view_func = self.doc(operationId=view_func.__name__)(view_func)
        options["tags"] = [rule.split("/")[1]]
        super().add_url_rule(rule, endpoint, view_func, *more, **options)

    def query(self, schema: Any) -> Callable[..., Any]:
        """Reads the query by a schema: 400 if it is wrong."""
        return self.arguments(schema, location="query", error_status_code=400)  # type: ignore[no-any-return]

    def managing(self, view: View) -> View:
        """Of a route that takes a key which manages (`api_key.manages`): 403 with another one."""
        described: View = self.alt_response(403, response="FORBIDDEN")(view)
        described.manages = True  # type: ignore[attr-defined]  # _check_right reads it
        return described

    @staticmethod
    def _prepare_key_doc(doc: dict[str, Any], _info: dict[str, Any], *, method: str, **_: Any) -> dict[str, Any]:
        """Every POST takes an Idempotency-Key."""
        if method == "post":
            if not any(parameter["in"] == "headers" for parameter in doc.setdefault("parameters", [])):
                doc["parameters"].append(_KEY_PARAMETER)
            for status in (408, 409, 413, 422):  # a body counts for its key also where none is asked for
                doc.setdefault("responses", {}).setdefault(status, HTTPStatus(status).name)
        return doc

    @staticmethod
    def _prepare_problems_doc(doc: dict[str, Any], _info: dict[str, Any], **_: Any) -> dict[str, Any]:
        for status in (*_PROBLEMS, *(_BODY_PROBLEMS if "requestBody" in doc else ())):
            doc.setdefault("responses", {})[status] = HTTPStatus(status).name
        return doc


api = Blueprint("api", __name__, url_prefix="/api/v1", description="The API for businesses' servers.")

reads_no_body_without(bearer(KEY), api)


@api.before_request
def _authenticate() -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    owner = db.retry_on_outage(lambda: owner_of(key.strip()), db.WEB_RETRY_SECONDS) if scheme.lower() == "bearer" else None
    if owner is None:
        check_wrong_key()
        raise Unauthorized(
            "The API key is missing or not valid. Send Authorization: Bearer sk_…, with a key of the desk or scripts/keys.",
            www_authenticate=WWWAuthenticate("bearer"),
        )
    g.key, g.customer_id = owner, owner.customer_id
    check_api_key(owner.key_id)
    g.log_context = log_context(customer=owner.customer_id)
    g.log_context.__enter__()


@api.before_request
def _check_right() -> None:
    """Raises Forbidden. Before an answer is given once more (_begin_keyed): it may be a new key."""
    if getattr(current_app.view_functions[request.endpoint or ""], "manages", False) and not g.key.manages:
        raise Forbidden(
            "This key may not invite people, make keys or connect channels. An owner makes one that may at the desk, under API"
            " keys; or whoever runs this server with scripts/keys create --manages."
        )


@api.before_request
def _check_query() -> None:
    """Raises BadRequest for a parameter that the route does not know, or that is there twice: a filter that is ignored looks like
    one that fits."""
    known = _parameters(current_app.view_functions[request.endpoint or ""], "query")
    if unknown := sorted(set(request.args) - known):
        names = ", ".join(name[:_QUOTED] for name in unknown[:_NAMED])
        takes = f"takes {', '.join(sorted(known))}" if known else "takes none"
        raise BadRequest(f"There is no query parameter {names} here. This request {takes}.")
    if twice := sorted(name for name, values in request.args.lists() if len(values) > 1):
        raise BadRequest(f"The query parameter {twice[0]} is given {len(request.args.getlist(twice[0]))} times. Give it once.")


@cache
def _parameters(view: Callable[..., Any], location: str) -> frozenset[str]:
    """What a route takes there, as its `arguments` say."""
    documented = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
    schemas = [given["schema"] for given in documented if given["in"] == location]
    found = [schema() if isinstance(schema, type) else schema for schema in schemas]
    return frozenset(field.data_key or name for schema in found for name, field in schema.fields.items())


@api.before_request
def _begin_keyed() -> Response | None:
    """Answers a POST whose key was used before. Some routes know their keys themselves."""
    view = current_app.view_functions[request.endpoint or ""]
    if request.method != "POST" or "Idempotency-Key" not in request.headers or _parameters(view, "headers"):
        return None
    return idempotency.begin(customer_id())


@api.after_request
def _end(answer: Response) -> Response:
    idempotency.end(answer)
    if "key" in g:
        answer.headers.update(api_key_headers(g.key.key_id))
    return answer


@api.teardown_request
def _end_log_context(_problem: BaseException | None) -> None:
    if context := g.pop("log_context", None):
        context.__exit__(None, None, None)


def customer_id() -> int:
    """Whose key opened this request."""
    owner: int = g.customer_id
    return owner


def page(query: ModelSelect[Any], limit: int, before: int = MAX_ROW_ID) -> dict[str, Any]:
    """A page of a query's rows, newest first: {"data": […], "next": the id to go on `before`, or null}."""
    model_id = query.model.id
    rows = db.rows(query.where(model_id < before).order_by(model_id.desc()).limit(limit + 1))
    return {"data": rows[:limit], "next": rows[limit - 1]["id"] if len(rows) > limit else None}


def row_or_404(query: Any, what: str) -> dict[str, Any]:
    """The query's row. Raises NotFound: another customer's row is no row."""
    return existing(db.row(query), what)


def existing(row: Row | None, what: str) -> Row:
    """What was found or changed. Raises NotFound if that is nothing."""
    if row is None:
        raise NotFound(f"There is no such {what}. Use the id of one of yours.")
    return row
