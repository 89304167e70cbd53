"""Which worker process this is: the name under which Redis keeps its heartbeat and PostgreSQL its claims.

The supervisor gives each process a name (shared/jobs/supervisor.py), so that it can tell the next one whose work to take over.
"""

from __future__ import annotations

import uuid


def new_name() -> str:
    """A name that no other process has."""
    return f"worker-{uuid.uuid4().hex[:12]}"


#: This process, in `job.claimed_by`.
name = new_name()
#: Whether the supervisor gave this process its name.
is_given = False
#: The processes that died in this one's place, the last of them last.
predecessors: tuple[str, ...] = ()


def become(given: str) -> None:
    """Takes the name that the supervisor gives, before anything is named after the old one."""
    global name, is_given
    name, is_given = given, True
