"""Where the bytes of files are: in a folder, or in a bucket. Nothing else knows which.

Processes on several machines need the bucket, or a folder that all of them have mounted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from shared.config import settings
from shared.media.folder import Folder
from shared.media.s3 import bucket


class Storage(Protocol):
    """Keeps files under keys. A file is whole or not there at all, and never changes: its key is made of its hash."""

    #: Where files arrive before they are kept.
    arrivals: Path

    def check(self) -> None:
        """Whether it takes files, as far as can be told. Raises StorageDown."""

    def put(self, key: str, path: Path) -> None:
        """Keeps a file; what is at the path afterwards is nobody's. Raises StorageDown, as do all others."""

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        """All of it, or so many bytes from there on. Raises FileMissing."""

    def at_path(self, key: str, /) -> AbstractContextManager[Path]:
        """The file as one on this machine, for as long as the block lasts. Raises FileMissing."""

    def delete(self, key: str) -> None:
        """Removes it; one that is not there is removed."""


@lru_cache(maxsize=2)
def _folder(path: str) -> Folder:
    return Folder(Path(path))


def storage() -> Storage:
    """As the settings say."""
    conf = settings()
    if conf.media_bucket:
        return bucket(conf.media_bucket, conf.media_endpoint)
    return _folder(conf.media_folder)
