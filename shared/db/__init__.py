"""PostgreSQL: connections, transactions, prepared statements, batching, credentials at rest, migrations.

What belongs here: whatever speaks to PostgreSQL and knows no table of ours, but for migrations/.
What does not: rules about jobs (shared/jobs), models (shared/models), any other service.
It may import: database_url, config, errors, telemetry, dns. Everybody may import it.
"""

from shared.db.connecting import check_address
from shared.db.outage import (
    WEB_RETRY_SECONDS,
    answered,
    is_outage,
    is_passing,
    is_unknown,
    outage,
    refuses_writes,
    retry_on_outage,
    service_down,
    word_for,
)
from shared.db.pool import (
    Pool,
    connect,
    connection,
    in_transaction,
    listener,
    patient,
    proxy,
    reset,
    transaction,
    use,
)
from shared.db.query import json, row, rows, scalar
from shared.db.session import REPORT, WEB, WORKER

__all__ = [
    "REPORT",
    "WEB",
    "WEB_RETRY_SECONDS",
    "WORKER",
    "Pool",
    "answered",
    "check_address",
    "connect",
    "connection",
    "in_transaction",
    "is_outage",
    "is_passing",
    "is_unknown",
    "json",
    "listener",
    "outage",
    "patient",
    "proxy",
    "refuses_writes",
    "reset",
    "retry_on_outage",
    "row",
    "rows",
    "scalar",
    "service_down",
    "transaction",
    "use",
    "word_for",
]
