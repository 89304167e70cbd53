"""Files in a bucket that speaks S3: Amazon's, or MinIO's, Ceph's, R2's at MEDIA_BUCKET_URL. Needs the extra `s3` (minio).

The keys are where S3's clients look for them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of the machine; AWS_REGION.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import urllib3

from shared.config import settings
from shared.http.connections import own_pool
from shared.http.exchange import current, under_way
from shared.media.folder import FileMissing, StorageDown, down_if_it_fails

if TYPE_CHECKING:  # an extra
    from minio import Minio

AMAZON = "https://s3.amazonaws.com"
#: Seconds for each wait of a call, of which all attempts together have MEDIA_TIMEOUT_SECONDS; attempts after the first.
LONGEST_WAIT, TRIES = 20.0, 3
#: Bytes of an object that are in memory at once on its way to a file.
PIECE = 256 * 1024
#: Seconds before the second of these attempts; each further pause is twice as long.
BACKOFF = 0.2


#: The object that `check` reads, and makes where it is missing; seconds for that, and for which its result is good.
CHECKED, CHECK_TIMEOUT, CHECK_EVERY = "switchboard-check", 3.0, 30.0


class Bucket:
    """One bucket."""

    def __init__(self, client: Minio, name: str) -> None:
        self._client, self._name = client, name
        self._checked_at, self._problem = float("-inf"), ""
        self.arrivals = Path(tempfile.gettempdir()) / "switchboard-media"

    def check(self) -> None:
        """Reads an object of its own, for each write costs money; one that cannot be read is written. Raises StorageDown."""
        if time.monotonic() > self._checked_at + CHECK_EVERY:
            self._problem = self._find_problem()
            self._checked_at = time.monotonic()
        if self._problem:
            raise StorageDown(self._problem)

    def _find_problem(self) -> str:
        try:
            self._get(CHECKED, CHECK_TIMEOUT)
        except FileMissing:
            return self._make_checked()
        except StorageDown as problem:  # without the right to list, S3 refuses what is missing
            return self._make_checked() if str(problem).endswith("AccessDenied") else str(problem)
        return ""

    def _make_checked(self) -> str:
        try:
            with self._failures(CHECKED, CHECK_TIMEOUT):
                self._client.put_object(self._name, CHECKED, BytesIO(b"ok"), 2)
        except (FileMissing, StorageDown) as problem:
            return str(problem)
        return ""

    def put(self, key: str, path: Path) -> None:
        """S3 shows an object when all of it is there. Raises StorageDown."""
        with self._failures(key):
            # One part after the other, for the deadline is that of this thread's exchange.
            self._client.fput_object(self._name, key, str(path), num_parallel_uploads=1)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        """All of it, or a part. Raises FileMissing, StorageDown."""
        return self._get(key, start=start, size=size)

    def _get(self, key: str, seconds: float | None = None, start: int = 0, size: int | None = None) -> bytes:
        with self._failures(key, seconds), self._opened(key, start, size) as response:
            return bytes(response.read())

    @contextmanager
    def _opened(self, key: str, start: int = 0, size: int | None = None) -> Iterator[urllib3.BaseHTTPResponse]:
        response = self._client.get_object(self._name, key, offset=start, length=size or 0)
        try:
            yield response
        finally:
            response.close()
            response.release_conn()

    @contextmanager
    def at_path(self, key: str) -> Iterator[Path]:
        """A copy on this machine. Raises FileMissing, StorageDown."""
        with ExitStack() as stack:
            with down_if_it_fails():
                self.arrivals.mkdir(mode=0o700, parents=True, exist_ok=True)
                copy = stack.enter_context(tempfile.NamedTemporaryFile(dir=self.arrivals))
            with self._failures(key), self._opened(key) as response:
                while piece := response.read(PIECE):
                    with down_if_it_fails():
                        copy.write(piece)
            with down_if_it_fails():
                copy.flush()
            yield Path(copy.name)

    def delete(self, key: str) -> None:
        """S3 says the same of one that is not there. Raises StorageDown."""
        with self._failures(key):
            self._client.remove_object(self._name, key)

    @contextmanager
    def _failures(self, key: str, seconds: float | None = None) -> Iterator[None]:
        """What goes wrong with a call, in our words. The bucket's own may repeat what we sent."""
        from minio.error import MinioException, S3Error

        conf = settings()
        try:
            with under_way(seconds or conf.media_timeout, conf.media_max * 1024 * 1024, longest_wait=LONGEST_WAIT):
                yield
        except S3Error as problem:
            if problem.code in ("NoSuchKey", "NoSuchObject"):
                raise FileMissing(key) from None
            raise StorageDown(f"the bucket {self._name} refuses: {problem.code}") from None
        except (MinioException, urllib3.exceptions.HTTPError, TimeoutError) as problem:
            raise StorageDown(f"the bucket {self._name} does not answer: {type(problem).__name__}") from None
        except (ValueError, KeyError) as problem:  # of minio, before it calls the bucket
            advice = "is its name right, and are there credentials for it?"
            raise StorageDown(f"the bucket {self._name} cannot be called ({type(problem).__name__}): {advice}") from None


class _Attempts(urllib3.Retry):
    """Attempts of a call, whose pauses are part of its time. They do not heed a Retry-After, which may be an hour."""

    def sleep(self, _response: urllib3.BaseHTTPResponse | None = None) -> None:
        """The pause. Raises TimeoutError when the time is over."""
        time.sleep(min(self.get_backoff_time(), current().left()))


@lru_cache(maxsize=2)
def bucket(name: str, endpoint: str) -> Bucket:
    """The bucket of the settings; its client is made once, and shared by all threads."""
    try:
        from minio import Minio
        from minio.credentials.providers import ChainedProvider, EnvAWSProvider, IamAwsProvider
    except ImportError:
        raise RuntimeError("MEDIA_BUCKET needs the package minio: pip install -r bin/requirements-s3.txt") from None
    parts = urlsplit(endpoint or AMAZON)
    attempts = _Attempts(
        total=TRIES, backoff_factor=BACKOFF, status_forcelist=[500, 502, 503, 504], respect_retry_after_header=False
    )
    http = own_pool(hosts=4, idle=10, retries=attempts, timeout=None)
    client = Minio(
        parts.netloc,
        secure=parts.scheme == "https",
        region=os.environ.get("AWS_REGION"),
        credentials=ChainedProvider([EnvAWSProvider(), IamAwsProvider(http_client=http)]),
        http_client=http,
    )
    return Bucket(client, name)
