"""/api/v1/openapi.json: the document that flask-smorest makes of the routes and their schemas; schemathesis tests it."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_smorest
from flask import Flask, Response, jsonify
from flask_smorest.utils import prepare_response

from shared.config import settings
from shared.payloads import not_blank
from shared.teaching.fields import NOT_BLANK
from web import problems
from web.api.api import api
from web.api.schemas import ProblemSchema

#: What the statuses mean here, where their names do not say enough.
_MEANINGS = {
    400: "A parameter or the body is malformed.",
    401: "The API key is missing or not valid.",
    403: "The API key may not do this: it does not manage (`manages`).",
    404: "There is no such row, or it is not yours.",
    408: "The body did not arrive in time: within 30 s.",
    409: "Conflict: `detail` says what is in the way, and what to do.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "A member of the body is wrong (`errors` names it), a provider does not take what was given (`detail` says why), or the"
    " Idempotency-Key was used for another request.",
    429: "Too many requests with this key, or wrong keys from this address. Retry-After says when to try again.",
    503: "The database, a provider or a storage is unavailable: `detail` says which, Retry-After when to try again.",
}
_ABOUT = """The API for businesses' servers. Errors are problem documents (RFC 9457).

Lists come newest first, in pages: `before` takes the `next` of the page before. `events` come oldest first, and `after` takes it.
`channels`, `budgets`, `quick-replies`, `team` and `keys` are whole, and so is what is grouped (`gaps`, `queues`, `usage`).

`RateLimit-Policy` and `RateLimit` say how many requests a key may make (`q`) in how many seconds (`w`), and what is left of them
(`r`) for how long (`t`).

Every `POST` takes an `Idempotency-Key`: the same key with the same request is answered as the first time, for a day, with
`Idempotent-Replayed: true`; with another request 422, and while the first is under way 409."""
_SETTINGS = {
    "API_TITLE": "Switchboard",
    "API_VERSION": "1",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/api/v1",
    "API_SPEC_OPTIONS": {
        "info": {"description": f"{_ABOUT}\n\n{Path(__file__).with_name('CHANGES.md').read_text(encoding='utf-8')}"},
        "security": [{"key": []}],
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "sk_…; scripts/keys create makes one."}
            }
        },
    },
}
#: Seconds that a client may keep the document.
_MAX_AGE = 300


class Document(flask_smorest.Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's, whose errors are our problem documents (web/problems.py)."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        pass

    def _register_pagination_header(self) -> None:
        pass  # our pages are in the bodies

    def _register_responses(self) -> None:
        for status in HTTPStatus:
            response = {"description": _MEANINGS.get(status, status.phrase), "schema": self.ERROR_SCHEMA}
            prepare_response(response, self.spec, problems.MIMETYPE)
            self.spec.components.response(status.name, response, lazy=True)

    def _openapi_json(self) -> Response:
        document = self.spec.to_dict()
        _open_answers(document)
        document["tags"] = _sections(document)
        document["servers"] = [{"url": settings().public_url or "/"}]
        answer = jsonify(document)
        answer.headers["Cache-Control"] = f"public, max-age={_MAX_AGE}"
        return answer


def _of_words(_converter: Any, field: Any, ret: dict[str, Any]) -> dict[str, Any]:
    """What the document says of a text that must not be blank, besides what it says already."""
    return {"minLength": 1, "pattern": NOT_BLANK, **ret} if not_blank in field.validators else {}


def _sections(document: dict[str, Any]) -> list[dict[str, str]]:
    """The sections in which operations stand, named once for all, as generators and linters ask."""
    operations = (operation for path in document["paths"].values() for operation in path.values() if "tags" in operation)
    return [{"name": name} for name in sorted({tag for operation in operations for tag in operation["tags"]})]


def _open_answers(document: dict[str, Any]) -> None:
    """An answer may get new members (CHANGES.md): a client that was generated from this document has to let them pass."""
    schemas = document["components"]["schemas"]
    operations = [one for path in document["paths"].values() for method, one in path.items() if method != "parameters"]
    waiting = _references([answer for one in operations for answer in one["responses"].values()])
    answers: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in schemas and name not in answers:
            answers.add(name)
            waiting |= _references(schemas[name])
    for name in answers:
        if schemas[name].get("additionalProperties") is False:
            del schemas[name]["additionalProperties"]


def _references(part: Any) -> set[str]:
    """Names of the schemas that a part of the document refers to."""
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(part)))


def install(app: Flask) -> None:
    """Serves the API and its document."""
    app.config.update(_SETTINGS)
    document: Any = Document(app)
    document.ma_plugin.converter.add_attribute_function(_of_words)
    document.register_blueprint(api)
