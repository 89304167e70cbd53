"""Idempotency-Key on every POST: the same key is the same request (draft-ietf-httpapi-idempotency-key-header).

The answer of what succeeded is kept for a day, and given again. What was refused has done nothing, and may be tried again with
its key. Where the outcome is not known, because the server failed or died, nothing is done a second time: the answer is 409.
A route that knows its keys itself says so by its IdempotencyHeader: POST /conversations/{id}/messages.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from operator import itemgetter
from typing import Any

from flask import Response, g, request
from peewee import SQL, DatabaseError, InterfaceError
from werkzeug.exceptions import BadRequest, Conflict

from shared import db
from shared.db.credentials import decrypt, encrypt
from shared.errors import PermanentError, ServiceDown
from shared.models import KeptAnswer
from shared.privacy import retention
from web.parameters import IDEMPOTENCY_KEY, key_reused

log = logging.getLogger(__name__)

#: How long an answer is kept.
KEPT = SQL(f"now() - make_interval(secs => {retention.KEEP_ANSWERS})")
#: Seconds after which the second of two requests at once may ask again.
RETRY_AFTER = 1
#: Of an answer from before.
REPLAYED = "Idempotent-Replayed"
#: Bytes of a file that are in memory.
_PART = 64 * 1024
_KEY = re.compile(IDEMPOTENCY_KEY)


class InProgress(Conflict):
    """Another request has the key, and no answer."""

    description = (
        "A request with this Idempotency-Key is under way, or its outcome is unknown. Try again in a moment. If that does"
        " not help, look whether it took effect, and use a new key."
    )

    def get_headers(self, *request: Any) -> list[tuple[str, str]]:
        return [*super().get_headers(*request), ("Retry-After", str(RETRY_AFTER))]


def begin(customer_id: int) -> Response | None:
    """Claims the request's key for it; returns the answer, if there was one. Raises BadRequest, Conflict, UnprocessableEntity."""
    key = request.headers["Idempotency-Key"]
    if not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key must be 1 to 200 printable ASCII characters without spaces.")
    fingerprint = _fingerprint()
    claim = KeptAnswer.insert(customer=customer_id, key=key, fingerprint=fingerprint, path=request.path)
    new = db.scalar(
        claim.on_conflict(
            conflict_target=[KeptAnswer.customer, KeptAnswer.key],
            update={
                KeptAnswer.fingerprint: fingerprint,
                KeptAnswer.path: request.path,
                KeptAnswer.status: None,
                KeptAnswer.answer: None,
                KeptAnswer.created_at: SQL("now()"),
            },
            where=(KeptAnswer.created_at < KEPT),
        ).returning(KeptAnswer.id)
    )
    if new is not None:
        g.kept_answer = new
        return None
    earlier = db.row(KeptAnswer.select().where(KeptAnswer.customer == customer_id, KeptAnswer.key == key))
    if earlier is None:  # it was refused at this moment
        raise InProgress
    if earlier["fingerprint"] != fingerprint:
        raise key_reused()
    if earlier["status"] is None:
        raise InProgress
    return _answer(earlier)


def end(answer: Response) -> None:
    """Keeps the answer of a request that claimed a key, or lets the key go."""
    claimed = g.pop("kept_answer", None)
    if claimed is None or answer.status_code >= 500:
        return
    own = KeptAnswer.id == claimed
    try:
        if answer.status_code >= 300:
            db.rows(KeptAnswer.delete().where(own))
            return
        kept = {"body": answer.get_data(as_text=True), "type": answer.content_type}
        db.rows(KeptAnswer.update(status=answer.status_code, answer=encrypt(json.dumps(kept))).where(own))
    except (DatabaseError, InterfaceError, ServiceDown) as problem:  # the request is done; a second one gets 409
        log.warning("answer_not_kept", extra={"error": type(problem).__name__})


def _answer(earlier: dict[str, Any]) -> Response:
    try:
        kept = json.loads(decrypt(earlier["answer"], "a kept answer"))
    except PermanentError:
        raise Conflict(
            "This key was used, and its answer cannot be read any more. Look whether the request took effect."
        ) from None
    return Response(kept["body"], earlier["status"], content_type=kept["type"], headers={REPLAYED: "true"})


def _fingerprint() -> str:
    """What must be the same: path, query and body. Of a form its parts, for what lies between them is another each time."""
    digest = hashlib.sha256(f"{request.method} {request.full_path}\n".encode())
    if request.mimetype == "multipart/form-data":
        digest.update(json.dumps(sorted(request.form.items(multi=True))).encode())
        for name, file in sorted(request.files.items(multi=True), key=itemgetter(0)):
            digest.update(f"\n{name} {file.filename}\n".encode())
            for part in iter(lambda stream=file.stream: stream.read(_PART), b""):  # type: ignore[misc]  # of a lambda's default
                digest.update(part)
            file.stream.seek(0)
    else:
        digest.update(request.get_data())
    return digest.hexdigest()
