"""What a channel tells of a message it took: sent, delivered, read, failed. A status only moves forward."""

from __future__ import annotations

import logging

from shared import db
from shared.db.prepared import Statement

log = logging.getLogger(__name__)

# By our own id or by the provider's. One statement: the guard and the move cannot be parted. Of several statuses of one
# message the furthest moves it; messages are gone through in the order of their ids, so that two processes never wait for
# each other.
_apply = Statement(
    "status_told",
    """
    with told as (
        select * from jsonb_to_recordset($1)
            as t(n int, status text, provider_id text, message_id bigint, error text, chatbot_id bigint)
    ), known as materialized (
        select told.*, m.id from told join message m on m.id = told.message_id
            and m.id = any (array(select message_id from told)) -- by the index, also where the plan was made on an empty table
        where m.role = 'assistant' and m.chatbot_id = coalesce(told.chatbot_id, m.chatbot_id)
        union all
        select told.*, m.id from told join message m on m.external_id = told.provider_id
            and m.external_id = any (array(select provider_id from told))
        where told.message_id is null and m.role = 'assistant' and m.chatbot_id = coalesce(told.chatbot_id, m.chatbot_id)
    ), furthest as materialized (
        select distinct on (id) * from known order by id, status_rank(status) desc, n
    ), moved as (
        update message m set status = f.status, updated_at = clock_timestamp(),
            external_id = coalesce(m.external_id, f.provider_id),
            error = case when f.status = 'FAILED' then coalesce(f.error, 'the channel reported a failure') else m.error end
        from furthest f where m.id = f.id and status_rank(m.status) < status_rank(f.status)
        returning f.n
    )
    select n, bool_or(moved.n is not null) as applied from known left join moved using (n) group by n
    """,
    db.WEB_RETRY_SECONDS,
)

_PARK = """
    insert into parked_status (provider_id, status, error, chatbot_id)
    values (%(provider_id)s, %(status)s, %(error)s, %(chatbot_id)s)
"""

STATUSES = ("SENT", "DELIVERED", "READ", "FAILED")


def apply_delivery_status(
    status: str,
    *,
    provider_id: str | None = None,
    message_id: int | None = None,
    error: str | None = None,
    chatbot_id: int | None = None,
) -> str:
    """Applies a status by our message id or the provider's id: "applied", "stale" (not forward) or "parked".

    `chatbot_id`, where the channel tells whose number it was, keeps one tenant's ids from moving another's messages.
    A provider's id that nobody knows yet is kept until the send's answer is stored, or for an hour. Raises ServiceDown.
    """
    if status not in STATUSES:
        raise ValueError(f"status: got {status!r}; want one of {', '.join(STATUSES)}")
    params = {"status": status, "provider_id": provider_id, "message_id": message_id, "error": error, "chatbot_id": chatbot_id}
    known = _apply(params)
    if known is not None:
        return "applied" if known["applied"] else "stale"
    if provider_id is None:
        log.warning("status for an unknown message", extra={"message_id": message_id, "status": status})
        return "parked"
    db.retry_on_outage(lambda: db.rows(_PARK, params), db.WEB_RETRY_SECONDS)
    # The send's answer may have been stored between the two looks; then nobody else would come for this one.
    return "applied" if apply_parked(provider_id) else "parked"


_UNPARK = """
    with known as (
        select p.id, p.status, p.error, m.id as message_id
        from parked_status p join message m on m.external_id = p.provider_id and m.role = 'assistant'
            and m.chatbot_id = coalesce(p.chatbot_id, m.chatbot_id)
        where p.provider_id = %(provider_id)s
    ), best as (
        select distinct on (message_id) message_id, status, error from known order by message_id, status_rank(status) desc
    ), moved as (
        update message set status = best.status, updated_at = clock_timestamp(),
            error = case when best.status = 'FAILED'
                then coalesce(best.error, 'the channel reported a failure') else message.error end
        from best where message.id = best.message_id
            and status_rank(message.status) < status_rank(best.status)
        returning message.id
    )
    delete from parked_status where id in (select id from known) returning id
"""


def apply_parked(provider_id: str) -> bool:
    """Applies what was parked for a provider's id that is known by now."""
    return bool(db.rows(_UNPARK, {"provider_id": provider_id}))
