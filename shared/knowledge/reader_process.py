"""The process that reads documents: python -m shared.knowledge.reader_process FD. One after another, within limits.

What reads files of strangers may hang, crash, or unpack a gigabyte: here that ends one document. It has no secrets, no
connections and no threads. Its worker started it (reading.py); it ends when the worker does, or after a while without a
document, so the memory of its libraries is only taken while somebody imports.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

from shared.knowledge.documents import Raw, Unreadable
from shared.knowledge.readers import read, with_languages
from shared.telemetry import machine

#: Bytes of memory, all in all: half of the machine's, but no less than a book of 20 MB needs, and no more than this. Libraries
#: take 250 MB of it.
LEAST_MEMORY, MEMORY = 448 * 1024 * 1024, 768 * 1024 * 1024
#: libxml2's code for a lack of memory (XML_ERR_NO_MEMORY); the text of the same error says that the file is malformed.
_NO_MEMORY = 2
#: Seconds after which the process ends by itself, if nobody is left who would end it; longer than a worker waits.
SECONDS = 90
#: Seconds without a document after which the process ends.
IDLE = 30.0


def main() -> None:
    """Reads until nobody asks any more."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a platform's signals are for the worker
    os.nice(5)  # nobody waits for an import as for an answer
    _limit_memory()
    logging.disable(logging.CRITICAL)  # libraries quote what they read
    worker = Connection(int(sys.argv[1]))
    try:
        while worker.poll(IDLE):
            head = json.loads(worker.recv_bytes())
            body = worker.recv_bytes()
            signal.alarm(SECONDS)
            worker.send_bytes(json.dumps(_answer(Raw(body=body, **head))).encode())
            signal.alarm(0)
    except (OSError, EOFError):  # the worker is gone
        pass


def _limit_memory() -> None:
    limit = min(MEMORY, max(LEAST_MEMORY, machine.memory() // 2))
    with suppress(OSError, ValueError):  # macOS
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with suppress(OSError):  # a machine whose memory is used up ends this process, rather than PostgreSQL
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")


def _answer(raw: Raw) -> dict[str, object]:
    try:
        return {"document": asdict(with_languages(read(raw)))}
    except Exception as problem:
        if _is_of_memory(problem):
            return {"unreadable": "needs too much memory to be read; split it into smaller files"}
        if isinstance(problem, Unreadable):
            return {"unreadable": str(problem)}
        if isinstance(problem, RecursionError):
            return {"unreadable": "is nested too deeply to be read"}
        # Nothing of a document gets out through an error's text.
        where = problem.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where else "?"
        return {"broken": f"{type(problem).__name__} in {place}"}


def _is_of_memory(problem: BaseException | None) -> bool:
    """Whether memory is what was missing, whatever libraries and readers made of it."""
    while problem is not None:
        if isinstance(problem, MemoryError) or getattr(problem, "code", None) == _NO_MEMORY:
            return True
        problem = problem.__context__
    return False


if __name__ == "__main__":
    main()
