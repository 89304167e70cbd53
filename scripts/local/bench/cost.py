"""What a run costs: CPU seconds by group of processes, memory, commits and Redis commands. These vary less than times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psutil
import redis

from shared import db

_COMMITS = "select xact_commit from pg_stat_database where datname = current_database()"
#: Redis commands that the measurement itself sends.
_IGNORED = frozenset({"info"})


@dataclass(frozen=True)
class Cost:
    """CPU in seconds, commits and Redis commands as counts, all since the processes started."""

    worker: float
    postgres: float
    redis: float
    mock: float
    commits: int
    redis_commands: int

    def since(self, earlier: Cost) -> Cost:
        """The difference between the two."""
        return Cost(*(now - then for now, then in zip(vars(self).values(), vars(earlier).values(), strict=True)))


def cost(workers: Iterable[int], mocks: Iterable[int], client: redis.Redis) -> Cost:
    """What these processes and the two servers have used so far."""
    server, counts = client.info("cpu"), client.info("commandstats")
    return Cost(
        worker=sum(cpu(pid) for pid in workers),
        postgres=_postgres_cpu(),
        redis=server["used_cpu_sys"] + server["used_cpu_user"],
        mock=sum(cpu(pid) for pid in mocks),
        commits=int(db.scalar(_COMMITS)),
        redis_commands=sum(row["calls"] for name, row in counts.items() if name.removeprefix("cmdstat_") not in _IGNORED),
    )


def cpu(pid: int) -> float:
    """CPU seconds that a process has used; 0 if it has ended."""
    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return used.user + used.system


def _postgres_cpu() -> float:
    """CPU seconds of the postmaster, of its backends and of those that have ended."""
    backend = psutil.Process(int(db.scalar("select pg_backend_pid()")))
    postmaster = backend.parent() or backend
    used = postmaster.cpu_times()
    ended = used.children_user + used.children_system
    return used.user + used.system + ended + sum(cpu(child.pid) for child in postmaster.children())


def memory_mb(pids: Iterable[int]) -> float:
    """Resident memory of these processes in MB; shared pages count once for each process that maps them."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return round(total / 1e6, 1)
