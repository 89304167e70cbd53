"""Has documents read in a process of their own (reader_process.py), and ends it when one takes too long."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from shared.errors import OutsideFailure
from shared.knowledge.documents import Document, Item, Raw, Unreadable

log = logging.getLogger(__name__)

#: Seconds for a document. A book of a thousand pages takes twenty.
SECONDS = 60.0
#: Bytes of a document, or characters of its text, from which on it is large: its reader ends with it, for it does not give back
#: the memory that it took.
LARGE = 1024 * 1024


class ReaderDied(OutsideFailure):
    """The process that read a document ended before it had: it may be the document's fault, or the machine's."""


class Turns:
    """One at a time; where several wait, the customer who was served least recently is next, whoever else has many."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Hashable] = []
        self._busy = False
        self._latest: dict[Hashable, None] = {}  # customers, the one who was served last is last

    @contextmanager
    def turn(self, customer: Hashable) -> Iterator[None]:
        """A customer's turn, for the length of the block."""
        with self._changed:
            self._waiting.append(customer)
            self._changed.wait_for(lambda: not self._busy and self._next() == customer)
            self._waiting.remove(customer)
            self._busy = True
            self._latest.pop(customer, None)
            self._latest[customer] = None
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                if not self._waiting:
                    self._latest.clear()
                self._changed.notify_all()

    def _next(self) -> Hashable:
        served = list(self._latest)
        return min(self._waiting, key=lambda one: served.index(one) if one in self._latest else -1)


class _Reader:
    """The reading process of this worker: one, for reading takes a whole CPU and much memory."""

    def __init__(self) -> None:
        self.turns = Turns()
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, head: bytes, body: bytes) -> dict[str, object]:
        """What the process says of a document. Only for who has the turn."""
        is_done = False
        try:
            connection = self._send(head, body)
            if not connection.poll(SECONDS):
                raise Unreadable(f"took longer than {SECONDS:.0f} s to read; split it into smaller files")
            said = connection.recv_bytes()
            is_done = len(body) + len(said) < LARGE
        except (OSError, EOFError):
            raise ReaderDied("its reader ended; it may need too much memory, so split it into smaller files") from None
        finally:
            if not is_done:
                self._end()
        answer: dict[str, object] = json.loads(said)
        return answer

    def _send(self, head: bytes, body: bytes) -> Connection:
        if self._connection is not None:
            try:
                return _send(self._connection, head, body)
            except OSError:  # it ended because it was idle
                self._end()
        return _send(self._start(), head, body)

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "shared.knowledge.reader_process", str(theirs.fileno())]
            # None of the worker's secrets. More threads of the linear algebra only take memory.
            environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment)
        self._connection = Connection(ours.detach())
        return self._connection

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None


def _send(connection: Connection, head: bytes, body: bytes) -> Connection:
    connection.send_bytes(head)
    connection.send_bytes(body)
    return connection


_reader = _Reader()


@contextmanager
def turn(customer: Hashable) -> Iterator[Callable[[Raw], Document]]:
    """What reads documents, for the length of the block; customers take turns. Within it bytes are fetched that may be many, so
    that those of all who wait are not here at once."""
    with _reader.turns.turn(customer):
        yield read


def read(raw: Raw) -> Document:
    """The document's text as items, for who has the turn. Raises Unreadable, and ReaderDied."""
    if not raw.body:
        raise Unreadable("is empty")
    head = json.dumps({"name": raw.name, "media_type": raw.media_type, "url": raw.url}).encode()
    answer = _reader.ask(head, raw.body)
    if "broken" in answer:
        log.error("document_reader_failed", extra={"error": answer["broken"]})
        raise Unreadable("is damaged in a way that its reader did not expect; save it again, or as another kind")
    if "unreadable" in answer:
        raise Unreadable(str(answer["unreadable"]))
    fields = answer["document"]
    assert isinstance(fields, dict)
    return Document(**{**fields, "items": [Item(**item) for item in fields["items"]]})
