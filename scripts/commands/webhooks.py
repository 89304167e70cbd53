"""scripts/webhooks: delivers the events of a period to their endpoint again, shows the progress, and stops it."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError

from scripts.commands.audited import audited
from scripts.local.terminal import count, print_table, with_database
from shared import db
from shared.errors import Refused
from shared.models import WebhookEndpoint
from shared.operations import bulk_actions, criteria
from shared.operations import webhook_recovery as recovery
from shared.operations.webhook_recovery import DELIVERED, FAILED, Filter
from shared.webhooks import endpoints

#: As an action's `created_by` and `stopped_by`.
BY = "scripts/webhooks"


def main() -> int:
    """Runs one command; 1 if there is nothing to do, or it cannot be done."""
    return with_database("webhooks", _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/webhooks", description=__doc__)
    commands = parser.add_subparsers(required=True)
    recover = commands.add_parser("recover", help="delivers events again, under their own ids and behind first deliveries")
    recover.add_argument("endpoint", type=count, help="its id")
    recover.add_argument("--since", type=_time, required=True, help="6h, 2d or a time like 2026-11-26T17:00Z")
    recover.add_argument("--until", type=_time, help="the same; otherwise until now")
    recover.add_argument(
        "--status", choices=(FAILED, DELIVERED), default=FAILED, help=f"what did not arrive ({FAILED}, the default), or what did"
    )
    recover.add_argument("--pace", type=float, default=recovery.PACE, help="events a second (default %(default)g)")
    recover.add_argument("--preview", action="store_true", help="only says how many")
    recover.set_defaults(run=_recover)
    recoveries = commands.add_parser("recoveries", help="the newest recoveries, and how far they are")
    recoveries.set_defaults(run=_recoveries)
    stop = commands.add_parser("stop", help="ends a recovery; deliveries that were begun go on")
    stop.add_argument("id", type=count, help="as scripts/webhooks recoveries shows it")
    stop.set_defaults(run=_stop)
    return parser.parse_args()


def _time(text: str) -> datetime:
    try:
        return criteria.moment(text, lambda: datetime.now(UTC))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be like 6h or 2d, or a time with its zone like 2026-11-26T17:00Z, got {text!r}"
        ) from None


def _recover(arguments: argparse.Namespace) -> int:
    endpoint = _endpoint(arguments.endpoint)
    if endpoint is None:
        raise Refused(f"there is no endpoint {arguments.endpoint}")
    if endpoint["url"] is None:
        raise Refused(f"endpoint {arguments.endpoint} has no URL: its events are read with GET /api/v1/events")
    try:
        criteria.check_period(arguments.since, arguments.until)
    except ValidationError as wrong:
        raise Refused(f"--{wrong.field_name} {wrong.messages[0]}") from None
    bulk_actions.check_pace(arguments.pace)
    where = Filter(arguments.endpoint, arguments.since, arguments.until, arguments.status)
    if arguments.preview:
        print(f"{recovery.count(where)} events would be delivered again to {endpoint['url']}")
        return 0
    total = recovery.count(where)
    with db.transaction():
        action = bulk_actions.find(recovery.KIND, recovery.begin(where, total, BY, arguments.pace))
        about = {"since": where.as_json()["since"], "status": where.status}
        _audited("webhook.recovered", arguments.endpoint, endpoint, **about)
    assert action is not None
    print(f"recovery {action['id']}: {action['total']} events to {endpoint['url']}, {action['pace']:g} a second at the most")
    return 0


def _recoveries(_: argparse.Namespace) -> int:
    rows = bulk_actions.newest(recovery.KIND)
    table = (
        (
            *(row["id"], row["filter"]["endpoint_id"], row["state"], sum(row["counts"].values()), row["total"]),
            *(row["created_at"], row["finished_at"], row["created_by"]),
        )
        for row in rows
    )
    print_table(("id", "endpoint", "state", "done", "of", "began", "ended", "begun by"), table)
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    action = bulk_actions.find(recovery.KIND, arguments.id)
    with db.transaction():
        is_stopped = action is not None and bulk_actions.stop(arguments.id, BY)
        if is_stopped and action and (endpoint := _endpoint(action["filter"]["endpoint_id"])):
            _audited("webhook.recovery_stopped", action["filter"]["endpoint_id"], endpoint)
    if not is_stopped:
        raise Refused(f"there is no recovery {arguments.id} that runs")
    print(f"recovery {arguments.id} is stopped")
    return 0


def _endpoint(endpoint_id: int) -> dict[str, Any] | None:
    columns = (WebhookEndpoint.customer, WebhookEndpoint.url, WebhookEndpoint.description)
    return db.row(WebhookEndpoint.select(*columns).where(WebhookEndpoint.id == endpoint_id))


def _audited(action: str, endpoint_id: int, endpoint: dict[str, Any], **about: Any) -> None:
    audited("webhooks", action, "webhook", endpoint_id, endpoint["customer_id"], name=endpoints.name_of(endpoint), **about)


if __name__ == "__main__":
    sys.exit(main())
