"""The requests that the simulator received, one row each."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from scripts.local.simulator.exchange import Reply, Request

#: Headers of webhooks that are kept beside those that have "webhook" in their names.
_KEPT = ("authorization", "content-type", "x-shop")


class Record:
    """Rows in the order of arrival."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def note(self, kind: str, request: Request, reply: Reply, accepted: bool, faults: Sequence[str] = ()) -> dict[str, Any]:
        """Adds a request; `accepted` says whether it had its effect, whatever became of the answer. Returns its row."""
        row = {
            "seq": len(self._rows),
            "kind": kind,
            "at_ns": time.time_ns(),
            "path": request.path,
            "key": reply.key,
            "callback_data": reply.callback_data,
            "topic": reply.topic,
            "answered_id": reply.answered_id,
            "status": reply.status,
            "accepted": accepted,
            "text": reply.text,
            "tokens": reply.tokens,
            "file": reply.file,
            "streamed": bool(reply.events),
            "faults": list(faults),
        }
        if kind == "webhook":
            row["headers"] = {name: value for name, value in request.headers.items() if name in _KEPT or "webhook" in name}
            row["body"] = request.body.decode("utf-8", "replace")
        self._rows.append(row)
        return row

    def rows(self, kind: str | None, first: int = 0, count: int | None = None) -> list[dict[str, Any]]:
        """All rows, or those of one service; of these so many, from one on."""
        rows = (row for row in self._rows if kind is None or row["kind"] == kind)
        return list(itertools.islice(rows, first, None if count is None else first + count))

    def counts(self) -> dict[str, dict[str, int]]:
        """{kind: {requests, accepted}}."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: {"requests": 0, "accepted": 0})
        for row in self._rows:
            counts[row["kind"]]["requests"] += 1
            counts[row["kind"]]["accepted"] += row["accepted"]
        return dict(counts)

    def reset(self) -> None:
        """Deletes all rows."""
        self._rows.clear()
