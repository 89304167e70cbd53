"""The accounts of all channels, whatever their tables: how each is, and its secret. The registry says where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import db
from shared.channels import health
from shared.channels.health import ChannelAccount, account_of
from shared.channels.outcomes import explanation
from shared.channels.registry import CHANNELS
from shared.db.credentials import encrypt

_OVERVIEW = """
    select chatbot.customer_id, account.channel, account.chatbot_id, account.name, account.active,
        coalesce(health.state, 'ok') as state, health.reason, health.detail,
        case when health.state <> 'ok' then health.since end as since,
        case when channel_is_down_v1(health.state) then health.probe_at end as next_try_at,
        (select count(*) from job where closed_at is null
            and waits_for = channel_account_v1(account.channel, account.chatbot_id)) as held_replies
    from ({accounts}) account join chatbot on chatbot.id = account.chatbot_id
    left join channel_health health on health.channel = account.channel and health.chatbot_id = account.chatbot_id
    where chatbot.customer_id = coalesce(%(customer_id)s, chatbot.customer_id)
    order by account.chatbot_id, account.channel
"""


def overview(customer_id: int | None = None) -> list[dict[str, Any]]:
    """Each account of a customer, or of all, with its state and the replies that wait for it."""
    tables = " union all ".join(
        f"select '{one.name}' as channel, chatbot_id, {one.account_column} as name, active from {one.account_table}"
        for one in CHANNELS.values()
        if one.account_table
    )
    rows = db.rows(_OVERVIEW.format(accounts=tables), {"customer_id": customer_id})
    return [{**row, "explanation": explanation(row["reason"])} for row in rows]


def find(customer_id: int | None, channel: str, chatbot_id: int) -> ChannelAccount | None:
    """An account of a customer, or of anybody; None if there is none."""
    rows = [row for row in overview(customer_id) if (row["channel"], row["chatbot_id"]) == (channel, chatbot_id)]
    return account_of(CHANNELS[channel], chatbot_id, rows[0]["name"]) if rows else None


def connected(table: str, chatbot_id: int, values: Mapping[str, Any]) -> None:
    """A chatbot has a new account in this table, or new credentials: replies that were held leave; the sweep hands them out."""
    one = next(channel for channel in CHANNELS.values() if channel.account_table == table)
    health.connected(account_of(one, chatbot_id, values[one.account_column]))


def replace_secret(account: ChannelAccount, secret: str, more: Mapping[str, str] | None = None) -> None:
    """Gives an account a new token or key; `more`: other columns that change with it."""
    one = account.channel
    values = {str(one.account_secret): encrypt(secret), **(more or {})}
    columns = "".join(f"{column} = %s, " for column in values)
    update = f"update {one.account_table} set {columns}active = true where chatbot_id = %s"
    db.rows(update, [*values.values(), account.chatbot_id])
