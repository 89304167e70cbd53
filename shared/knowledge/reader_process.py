"""The process that reads documents: python -m shared.knowledge.reader_process FD. One after another, within limits.

What reads files of strangers may hang, crash, or unpack a gigabyte: here that ends one document. It has no secrets, no
connections and no threads. Its worker started it (reading.py); it ends when the worker does, or after a while without a
document, so the memory of its libraries is only taken while somebody imports.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from shared.knowledge import reader_memory
from shared.knowledge.documents import MAX_TEXT, Document, Raw, Unreadable
from shared.knowledge.readers import read, with_languages

#: libxml2's code for a lack of memory (XML_ERR_NO_MEMORY); the text of the same error says that the file is malformed.
_NO_MEMORY = 2
#: Seconds after which the process ends by itself, if nobody is left who would end it; longer than a worker waits.
SECONDS = 330
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
            reader_memory.limit_for_now(head.pop("free"))
            body = worker.recv_bytes()
            signal.alarm(SECONDS)
            # Of a CPU: on a busy machine a minute passes in which the process has hardly run. It ends by that signal.
            signal.setitimer(signal.ITIMER_PROF, head.pop("seconds"))
            answer = json.dumps(_answer(Raw(body=body, **head)), ensure_ascii=False)  # "\u0436" is three times a letter
            del body
            worker.send_bytes(answer.encode("utf-8", "surrogatepass"))
            del answer
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
    except (OSError, EOFError):  # the worker is gone
        pass


def _limit_memory() -> None:
    reader_memory.limit_for_good()
    with suppress(OSError):  # a machine whose memory is used up ends this process, rather than PostgreSQL
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")


def _answer(raw: Raw) -> dict[str, object]:
    try:
        document = with_languages(_not_too_long(read(raw)))
        return {"document": {**vars(document), "items": [vars(item) for item in document.items]}}
    except Exception as problem:
        if _is_of_memory(problem):
            return {"no_memory": True}
        if isinstance(problem, RecursionError):
            problem = Unreadable("is nested too deeply to be read")
        if isinstance(problem, Unreadable):
            return {"unreadable": str(problem)}
        # Nothing of a document gets out through an error's text.
        where = problem.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where else "?"
        return {"broken": f"{type(problem).__name__} in {place}"}


def _not_too_long(document: Document) -> Document:
    """The document. A packed file of some kilobytes may say a long text in each of its rows: that would fill the worker."""
    if document.characters > MAX_TEXT:
        raise Unreadable(f"has more than {MAX_TEXT:,} characters; split it into files by topic")
    return document


def _is_of_memory(problem: BaseException | None) -> bool:
    """Whether memory is what was missing, whatever libraries and readers made of it."""
    while problem is not None:
        if isinstance(problem, MemoryError) or getattr(problem, "code", None) == _NO_MEMORY:
            return True
        problem = problem.__context__
    return False


if __name__ == "__main__":
    main()
