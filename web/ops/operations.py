"""/operations/v1: failures, replays and pauses for an operator's own tools. JSON, `Authorization: Bearer OPERATOR_TOKEN`.

Without that setting it is 404. It is not a business's API: it concerns all of them, and shows no text of a message and no name
of a customer's customer. What it does is that of the desk's pages and of scripts/jobs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from shared.config import settings
from shared.errors import InvalidPayload, Refused
from shared.operations import bulk_actions, criteria, dead_letters, pauses, replays
from shared.operations.dead_letters import Filter
from shared.payloads import MAX_ROW_ID, id_in
from web.hardening import reads_no_body_without
from web.ops.tokens import require_token

operations = Blueprint("operations", __name__, url_prefix="/operations/v1")
reads_no_body_without(lambda headers: headers.get("Authorization", "") != "", operations)

#: Who replays and pauses, in the rows that remember it.
ACTOR = "OPERATOR_TOKEN"
#: Failures of an answer at most.
_PAGE = 100
#: What a failure is shown with.
_SHOWN = (
    *("id", "queue", "channel", "error_code", "error", "customer_id", "chatbot_id", "conversation_id", "message_id"),
    *("webhook_event_id", "endpoint_id", "attempts", "failures", "began_at", "failed_at", "state", "verdict"),
)


@operations.before_request
def _check_token() -> None:
    require_token(settings().operator_token, "OPERATOR_TOKEN", "operations")


@operations.get("/failures")
def failures() -> Response:
    """By reason; with ?queue, error, customer, since … the failures themselves, newest first, behind the id `before`."""
    if not request.args:
        return jsonify(reasons=[{**group, **_times(group, "first_at", "last_at")} for group in dead_letters.groups()])
    before = request.args.get("before", "")
    if before and id_in(before) is None:
        raise BadRequest(f"before must be the next_before of the page before, got {before!r:.40}.")
    where = _criteria({name: value for name, value in request.args.items() if name != "before"})
    rows = dead_letters.page(where, _PAGE, id_in(before))
    shown = [{name: row[name] for name in _SHOWN} | _times(row, "began_at", "failed_at") for row in rows]
    return jsonify(total=dead_letters.count(where), failures=shown, next_before=rows[-1]["id"] if len(rows) == _PAGE else None)


@operations.post("/replays")
def begin_replay() -> tuple[Response, int]:
    """Replays what the body's criteria mean; with "dry_run": true it only says what would happen."""
    body = _body(_OF_REPLAYS)
    options = {name: body.pop(name, default) for name, default in _OPTIONS.items()}
    _check_options(options)
    where = _criteria(body)
    if where == Filter():
        raise BadRequest("Say which failures are meant: queue, channel, error, customer, chatbot, endpoint, since, until or ids.")
    unknown = options["include_unknown"]
    plan = replays.preview(where, unknown)
    said = {"total": plan.total, "ready": plan.ready, "left_out": plan.left_out, "is_cut": plan.is_cut}
    if options["dry_run"]:
        return jsonify(said), 200
    name = options["name"] and options["name"][:200]
    action = replays.begin(plan.where, ACTOR, include_unknown=unknown, pace=options["pace"], name=name)
    return jsonify(id=action, **said), 201


#: Members of a replay's body beside its criteria; all members of both bodies.
_OPTIONS: dict[str, Any] = {"dry_run": False, "include_unknown": False, "pace": bulk_actions.PACE, "name": None}
_OF_REPLAYS = (*criteria.NAMES.values(), *_OPTIONS)
_OF_PAUSES = ("queue", "channel", "chatbot", "customer", "reason")


def _check_options(options: dict[str, Any]) -> None:
    """Raises BadRequest. A "false" that is a text is no false, and would be a dry run."""
    for name in ("dry_run", "include_unknown"):
        if not isinstance(options[name], bool):
            raise BadRequest(f"{name} must be true or false, got {options[name]!r:.40}.")
    if not isinstance(options["pace"], int | float) or isinstance(options["pace"], bool):
        raise BadRequest(f"pace must be a number of failures a second, got {options['pace']!r:.40}.")
    try:
        bulk_actions.check_pace(options["pace"])
    except Refused as refusal:
        raise BadRequest(str(refusal)) from None
    _check_text("name", options["name"])


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str | None):
        raise BadRequest(f"{name} must be a text, got {value!r:.40}.")


@operations.get("/replays/<int:action_id>")
def replay(action_id: int) -> Response:
    """How far it is; `results`: what became of those that ran again."""
    action = _replay(action_id)
    until = Filter.of_json(action["filter"]).until
    times = _times({**action, "until": until}, "until", "created_at", "finished_at")
    shown = {
        name: action[name] for name in ("id", "name", "state", "total", "counts", "pace", "created_by", "stopped_by", "filter")
    }
    return jsonify(**shown, **times, results=replays.results(action_id))


@operations.post("/replays/<int:action_id>/stop")
def stop_replay(action_id: int) -> Response:
    """Ends it; what was begun goes on."""
    bulk_actions.stop(_replay(action_id)["id"], ACTOR)
    return replay(action_id)


@operations.get("/pauses")
def list_pauses() -> Response:
    """What is paused, and how many jobs wait."""
    names = ("id", "queue", "channel", "chatbot_id", "customer_id", "waiting", "reason", "created_by")
    return jsonify(pauses=[{name: row[name] for name in names} | _times(row, "created_at") for row in pauses.overview()])


@operations.post("/pauses")
def pause() -> tuple[Response, int]:
    """Pauses {queue} or {channel, chatbot?} or {chatbot} or {customer}; `reason` is kept."""
    body = _body(_OF_PAUSES)
    ids = {name: body.get(name) for name in ("chatbot", "customer")}
    for name, value in ids.items():
        if value is not None and not (type(value) is int and 0 < value <= MAX_ROW_ID):
            raise BadRequest(f"{name} must be an id, a whole number, got {value!r:.40}.")
    for name in ("queue", "channel", "reason"):
        _check_text(name, body.get(name))
    try:
        what = pauses.subject(body.get("queue"), body.get("channel"), ids["chatbot"], ids["customer"])
    except pauses.NoSuchSubject as problem:
        raise BadRequest(f"{str(problem)[:1].upper()}{str(problem)[1:]}.{_where_ids_are(ids)}") from None
    return jsonify(id=pauses.pause(what, ACTOR, (body.get("reason") or "")[:500] or None)), 201


def _where_ids_are(ids: dict[str, Any]) -> str:
    return (
        " Ids are in the addresses of the desk's pages: /desk/c/<customer>/chatbots/<chatbot>/answers."
        if any(ids.values())
        else ""
    )


@operations.delete("/pauses/<int:pause_id>")
def resume(pause_id: int) -> Response:
    """Ends a pause; `released`: how many jobs leave now."""
    released = pauses.resume(pause_id, ACTOR)
    if released is None:
        raise NotFound(f"There is no pause {pause_id}; it may have ended. GET /operations/v1/pauses lists those that there are.")
    return jsonify(released=released)


def _replay(action_id: int) -> dict[str, Any]:
    action = bulk_actions.find(replays.KIND, action_id)
    if action is None:
        raise NotFound(
            f"There is no replay {action_id}. POST /operations/v1/replays answers with the id of the one that it begins."
        )
    return action


def _body(known: Collection[str]) -> dict[str, Any]:
    """Raises BadRequest, also for a member that is not known: without it the rest would mean more than its sender does."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise BadRequest(f"The body must be a JSON object, sent as application/json, with {', '.join(known)}.")
    _check_names(body, known)
    return body


def _check_names(said: Collection[str], known: Collection[str]) -> None:
    if odd := sorted(set(said) - set(known)):
        raise BadRequest(f"Unknown: {', '.join(odd)[:200]}. Known are {', '.join(known)}.")


def _criteria(said: dict[str, Any]) -> Filter:
    _check_names(said, criteria.NAMES.values())
    try:
        return criteria.read(said)
    except InvalidPayload as problem:
        raise BadRequest(f"{problem}.") from None


def _times(row: dict[str, Any], *names: str) -> dict[str, str | None]:
    return {name: row[name].isoformat() if row[name] else None for name in names}
