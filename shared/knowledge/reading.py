"""Has documents read in a process of their own (reader_process.py), and ends it when one takes too long."""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from shared.errors import OutsideFailure, RateLimited
from shared.knowledge import reader_memory
from shared.knowledge.documents import Document, Item, Raw, Unreadable
from shared.telemetry import machine

log = logging.getLogger(__name__)

#: Seconds of a CPU for a document; a book of a thousand pages takes twenty. And all in all, on however busy a machine.
SECONDS, LONGEST = 60.0, 300.0
#: Bytes of a document, or characters of its text, from which on it is large: its reader ends with it, for it does not give back
#: the memory that it took.
LARGE = 1024 * 1024
#: Seconds in which a process ends that has closed its connection.
ENDING = 5.0
#: Seconds after which a document for which too little memory was free asks for it again.
MEMORY_WAIT = 30.0


class ReaderDied(OutsideFailure):
    """The process that read a document ended before it had: it may be the document's fault, or the machine's."""


class NoMemoryFree(RateLimited):
    """Too little memory is free at the moment to read the document."""

    def __init__(self) -> None:
        super().__init__(MEMORY_WAIT, "too little memory is free to read the document, and it waits for more")


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
            if not connection.poll(LONGEST):
                raise ReaderDied(f"could not be read in {LONGEST:.0f} s, for much goes on here; try it again later")
            said = connection.recv_bytes()
            is_done = len(body) + len(said) < LARGE
        except (OSError, EOFError):
            if self._ended_by() == signal.SIGKILL:  # by Linux, when memory is used up
                raise NoMemoryFree from None
            if self._ended_by() == signal.SIGPROF:
                raise Unreadable(f"took longer than {SECONDS:.0f} s to read; split it into smaller files") from None
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

    def _ended_by(self) -> int | None:
        """The signal that ended the process, which has closed its connection; None for none."""
        try:
            return -self._process.wait(ENDING) if self._process else None
        except subprocess.TimeoutExpired:
            return None

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
_too_little = reader_memory.TooLittle()


@contextmanager
def turn(customer: Hashable) -> Iterator[Callable[[Raw], Document]]:
    """What reads documents, for the length of the block; customers take turns. Within it bytes are fetched that may be many, so
    that those of all who wait are not here at once."""
    with _reader.turns.turn(customer):
        yield read


def read(raw: Raw) -> Document:
    """The document's text as items, for who has the turn. Raises Unreadable, NoMemoryFree, and ReaderDied."""
    if not raw.body:
        raise Unreadable("is empty")
    free = machine.free_memory()
    if _too_little.is_for(raw.body, written := reader_memory.at_present(free)):
        raise NoMemoryFree
    head = {"name": raw.name, "media_type": raw.media_type, "url": raw.url, "seconds": SECONDS, "free": free}
    answer = _reader.ask(json.dumps(head).encode(), raw.body)
    if "no_memory" in answer:
        if _too_little.learn(raw.body, written):
            raise NoMemoryFree
        raise Unreadable("needs more memory to be read than this system has for it; split it into smaller files")
    if "broken" in answer:
        log.error("document_reader_failed", extra={"error": answer["broken"]})
        raise Unreadable("is damaged in a way that its reader did not expect; save it again, or as another kind")
    if "unreadable" in answer:
        raise Unreadable(str(answer["unreadable"]))
    fields = answer["document"]
    assert isinstance(fields, dict)
    return Document(**{**fields, "items": [Item(**item) for item in fields["items"]]})
