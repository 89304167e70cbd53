"""Bodies of hooks that may hold files: a large one is in a file itself, and is read without being in memory as a whole."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import IO, Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from shared.media.download import Download
from shared.media.inline import Lifted, Lifter, RestTooLarge
from shared.media.storage import storage
from web.server.wsgi import BODY_FILE

#: Bytes that are read at once.
PART = 256 * 1024


@contextmanager
def raw_body() -> Iterator[bytes | memoryview]:
    """The body as it came, for its signature."""
    file = request.environ.get(BODY_FILE)
    if file is None:
        yield request.get_data()
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages, memoryview(pages) as body:
        yield body


@contextmanager
def files_lifted() -> Iterator[dict[str, Lifted]]:
    """From here on the request's body is what is left of a large one without its files, which are those that this yields.

    They are there until the block ends. Raises RequestEntityTooLarge.
    """
    file = request.environ.get(BODY_FILE)
    if file is None:
        yield {}
        return
    with ExitStack() as downloads:
        lifter = Lifter(lambda: downloads.enter_context(Download(storage().arrivals)))
        _replace_body(_rest(file, lifter))
        yield lifter.files


def _rest(file: IO[bytes], lifter: Lifter) -> bytes:
    try:
        while part := file.read(PART):
            lifter.feed(part)
    except RestTooLarge as problem:
        raise RequestEntityTooLarge(f"The body {problem}.") from None
    return bytes(lifter.rest)


def _replace_body(body: bytes) -> None:
    environ: dict[str, Any] = request.environ
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
