"""Where the scripts of this machine keep their data: folders that only their owner enters, and what is written there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.local.programs import ServiceFailed, give_to_postgres

ROOT = Path(__file__).parents[2]
DEFAULT_DATA = ROOT / ".local"
#: Errors of a file system that takes no more, or nothing.
_NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def chosen_data() -> Path | None:
    """The data folder that SWITCHBOARD_DATA names: that of the scripts/server which commands are to find."""
    folder = os.environ.get("SWITCHBOARD_DATA")
    return Path(folder).resolve() if folder else None


def data_folder(name: str = "") -> Path:
    """Where a script keeps its data: in the folder that SWITCHBOARD_DATA names or in .local; `name`: in one of its own there."""
    return (chosen_data() or DEFAULT_DATA) / name


def private_folder(path: Path) -> None:
    """Makes a folder that only its owner can enter, and .local around it. Raises ServiceFailed."""
    for folder in (DEFAULT_DATA, path):
        if path.is_relative_to(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
                give_to_postgres(folder)
            except OSError as problem:
                reason = "a file stands there" if isinstance(problem, FileExistsError) else problem.strerror
                raise ServiceFailed(
                    f"{folder} cannot be a data folder: {reason}. Name another one in SWITCHBOARD_DATA, or in --data."
                ) from None


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Names a data folder whose disk is full or read-only. Raises ServiceFailed."""
    try:
        yield
    except OSError as problem:
        # What shutil tells of many files has no number: (from, to, why) of each.
        why = str(problem.args[0][0][-1]) if isinstance(problem, shutil.Error) else problem.strerror
        if problem.errno not in _NOT_WRITABLE and not isinstance(problem, shutil.Error):
            raise
        raise ServiceFailed(
            f"{folder} takes no more files: {why}. Make room on its disk, or name another one in SWITCHBOARD_DATA, or in --data."
        ) from None


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, in one piece."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
