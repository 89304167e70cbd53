"""How a form with a file is read: multipart/form-data, beside the JSON of all other bodies."""

from __future__ import annotations

from typing import Any

from flask import request
from marshmallow import ValidationError
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest

from shared.payloads import refusal, strip_invalid
from web.parameters import BodySchema

MULTIPART = "multipart/form-data"
#: Characters of a part's name that are repeated to whoever sent it.
_QUOTED = 40


def form_with_file(schema: type[BodySchema]) -> tuple[FileStorage, dict[str, Any]]:
    """The part `file`, and what the schema makes of the others. Raises BadRequest, InvalidPayload."""
    names = [name for parts in (request.form, request.files) for name, _ in parts.items(multi=True)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadRequest(f"The form has the part {twice[:_QUOTED]!r} more than once. Give it once.")
    file = request.files.get("file")
    if file is None or not file.filename:
        raise refusal(schema.what, {"file": ["must be a file with its name"]}, {})
    texts = {
        **{name: strip_invalid(text) for name, text in request.form.items()},
        **dict.fromkeys(request.files.keys() - {"file"}, ""),
    }
    try:
        given = dict(schema().load({**texts, "file": file}))
        return given.pop("file"), given
    except ValidationError as problem:
        messages = dict(problem.normalized_messages())  # type: ignore[no-untyped-call]  # marshmallow's one untyped method
        raise refusal(schema.what, messages, texts) from None
