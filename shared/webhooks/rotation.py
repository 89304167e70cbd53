"""New secrets of an endpoint. Each that is replaced signs as well for a day: whoever lost the answer of a rotation, and asks for
another one, still has a receiver that knows the secret of the beginning.

The last one is a column of the endpoint, `old_secret`; those before it are rows of their own, which a delivery looks for only
while `old_secret` signs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from peewee import Expression, fn

from shared import db
from shared.db.credentials import encrypt
from shared.errors import Refused
from shared.models import WebhookEarlierSecret, WebhookEndpoint

#: For how long a secret that was replaced signs: a day, for the receiver to learn the new one.
OLD_SECRET_LASTS = timedelta(hours=24)
#: Replaced secrets that sign at a time: each is a signature of every delivery.
MAX_OLD_SECRETS = 10


def replaced(is_it: Expression, secret: str) -> dict[str, Any]:
    """The columns of an endpoint that gets this secret. Call it in the transaction that changes it. Raises Refused."""
    signs = WebhookEndpoint.old_secret_until > fn.now()
    columns = (WebhookEndpoint.id, signs.alias("has_old"))
    endpoint = db.row(WebhookEndpoint.select(*columns).where(is_it).for_update("FOR NO KEY UPDATE"))  # type: ignore[arg-type]  # peewee takes it
    if endpoint is not None:
        _keep(endpoint["id"], endpoint["has_old"])
    until = fn.now() + OLD_SECRET_LASTS
    return {"secret": encrypt(secret), "old_secret": WebhookEndpoint.secret, "old_secret_until": until}


def _keep(endpoint_id: int, has_old: bool | None) -> None:
    """The secret before the last one becomes a row, unless its day is over."""
    earlier = WebhookEarlierSecret.endpoint == endpoint_id
    db.rows(WebhookEarlierSecret.delete().where(earlier, WebhookEarlierSecret.until <= fn.now()))
    if not has_old:
        return
    count = db.scalar(WebhookEarlierSecret.select(fn.COUNT(WebhookEarlierSecret.id)).where(earlier))
    if count + 1 >= MAX_OLD_SECRETS:
        raise Refused(
            f"The secret was replaced {MAX_OLD_SECRETS} times within 24 hours, and each of them still signs. Use the newest one"
            " that you have, or wait until the first has ended."
        )
    columns = (WebhookEndpoint.id, WebhookEndpoint.old_secret, WebhookEndpoint.old_secret_until)
    last = WebhookEndpoint.select(*columns).where(WebhookEndpoint.id == endpoint_id)
    into = [WebhookEarlierSecret.endpoint, WebhookEarlierSecret.secret, WebhookEarlierSecret.until]
    db.rows(WebhookEarlierSecret.insert_from(last, into))
