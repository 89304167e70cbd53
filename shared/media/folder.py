"""Files in a folder of this machine, or in one that several machines have mounted."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import OutsideFailure

#: Seconds after which a file on its way in is nobody's: its process died.
ABANDONED = 24 * 3600.0
#: Bytes of a disk that files leave free, or this part of it if that is less.
RESERVE, RESERVE_PART = 512 * 1024 * 1024, 20


class FileMissing(Exception):
    """The storage has no such file."""


class StorageDown(OutsideFailure):
    """The storage does not answer, or refuses us; the file may be there."""


def key_of(customer_id: int, sha256: str) -> str:
    """The key of a customer's file; workers/incoming.sql makes the same."""
    return f"{customer_id}/{sha256[:2]}/{sha256}"


@contextmanager
def down_if_it_fails(is_temporary: bool = False) -> Iterator[None]:
    """What the folder refuses (it is full, read only, not ours) is no fault of ours, nor of the file. Raises StorageDown.

    `is_temporary`: it is where Python puts files that nobody keeps, such as a large form's while it is read.
    """
    try:
        yield
    except OSError as problem:
        why = problem.strerror or type(problem).__name__
        if is_temporary:
            raise StorageDown(f"the folder of temporary files (TMPDIR, or /tmp) refuses: {why}") from problem
        raise StorageDown(f"media: the folder of the files refuses: {why}") from problem


def require_room(folder: Path) -> None:
    """Raises StorageDown where the disk is nearly full: PostgreSQL may be on it as well, and takes no messages without room."""
    disk = shutil.disk_usage(folder)
    reserve = min(RESERVE, disk.total // RESERVE_PART)
    if disk.free < reserve:
        free, kept = disk.free // 1024**2, reserve // 1024**2
        raise StorageDown(f"media: the disk of the files has {free} MiB left, and they leave {kept} MiB free; make room on it")


class Folder:
    """Files under a folder. A new one is renamed into its place, so that a process that dies leaves none half."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.arrivals = folder, folder / "arriving"

    @down_if_it_fails()
    def check(self) -> None:
        """Writes a file as one that arrives, and removes it. Raises StorageDown."""
        self.arrivals.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_room(self.arrivals)
        with tempfile.TemporaryFile(dir=self.arrivals, buffering=0) as file:
            file.write(b"ok")

    @down_if_it_fails()
    def put(self, key: str, path: Path) -> None:
        """Renames it: within one file system that is done or not done."""
        place = self._folder / key
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.replace(path, place)
        except FileNotFoundError:
            if not place.exists():  # else it was put there before
                raise

    @down_if_it_fails()
    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        """All of it, or a part."""
        try:
            with (self._folder / key).open("rb") as file:
                file.seek(start)
                return file.read(size)
        except FileNotFoundError:
            raise FileMissing(key) from None

    @contextmanager
    def at_path(self, key: str) -> Iterator[Path]:
        """The file itself: it is only read."""
        place = self._folder / key
        with down_if_it_fails():
            try:
                place.stat()
            except FileNotFoundError:
                raise FileMissing(key) from None
        yield place

    @down_if_it_fails()
    def delete(self, key: str) -> None:
        """Unlinks it."""
        (self._folder / key).unlink(missing_ok=True)


def prune_arrivals(folder: Path) -> int:
    """Removes what processes that died left of files on their way in; returns how many."""
    removed = 0
    for path in folder.glob("*") if folder.is_dir() else ():
        try:
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            pass  # it was taken, or another process prunes as well
    return removed
