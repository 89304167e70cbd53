"""PostgreSQL: connections, transactions, prepared statements, batching, credentials at rest, migrations.

What belongs here: whatever speaks to PostgreSQL and knows no table of ours, but for migrations/.
What does not: rules about jobs (shared/jobs), models (shared/models.py), any other service.
It may import: config, errors, telemetry. Everybody may import it.
"""

from shared.db.outage import WEB_RETRY_SECONDS, is_outage, outage, retry_on_outage
from shared.db.pool import (
    POOL_TIMEOUT,
    Pool,
    Session,
    connect,
    connection,
    in_transaction,
    listener,
    proxy,
    reset,
    transaction,
)
from shared.db.query import execute_prepared, json, row, rows, scalar

__all__ = [
    "POOL_TIMEOUT",
    "WEB_RETRY_SECONDS",
    "Pool",
    "Session",
    "connect",
    "connection",
    "execute_prepared",
    "in_transaction",
    "is_outage",
    "json",
    "listener",
    "outage",
    "proxy",
    "reset",
    "retry_on_outage",
    "row",
    "rows",
    "scalar",
    "transaction",
]
