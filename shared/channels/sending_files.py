"""A file on its way: its bytes, in memory only while they leave, and the text that stands with it or follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from shared.channels.formatting import parts
from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import OutboundFile, way_for
from shared.channels.outcomes import Reason, with_code
from shared.channels.registry import Channel
from shared.channels.sending import OutboundMessage, Step
from shared.errors import PermanentRefusal, Snooze
from shared.jobs.ledger import Job
from shared.media import in_memory
from shared.media.folder import FileMissing, StorageDown
from shared.media.storage import storage

#: Seconds after which a storage that is away is asked again.
STORAGE_WAIT = 15.0


def steps(
    job: Job,
    message: OutboundMessage,
    channel: Channel,
    text: str,
    send_file: Callable[[OutboundFile, str, int | None], str],
    send_text: Callable[[str, int | None], str],
    max_text: int,
) -> Sequence[Step]:
    """The calls by which it leaves: the file with its caption, or the file, then the text, which has no room beside it.

    `send_file` is given the caption, and both the number of the call. `text` is as the channel shows it.
    """
    assert message.file is not None, "its caller has looked"
    way = way_for(channel.name, MediaKind(message.file["kind"]), message.file["mime"], message.file["size"])
    is_caption = way is None or way.has_room_for(text)  # None: the channel says what is wrong with the file

    def leave(number: int | None) -> str:
        with loaded(job, message) as file:
            return send_file(file, text if is_caption else "", number)

    return [leave, *([] if is_caption else [partial(send_text, part) for part in parts(text, max_text)])]


@contextmanager
def loaded(job: Job, message: OutboundMessage) -> Iterator[OutboundFile]:
    """Its file, in memory within the block. Raises NoRoomInMemory, Snooze while the storage is away, PermanentRefusal."""
    file = message.file or {}
    with in_memory.hold(job.customer_id, file["size"], job.age):
        try:
            if file["storage_key"] is None:
                raise FileMissing
            content = storage().read(file["storage_key"])
        except FileMissing:
            raise with_code(PermanentRefusal("the file is no longer kept"), Reason.FILE_GONE) from None
        except StorageDown as problem:  # nothing has left
            raise Snooze(STORAGE_WAIT, str(problem), Reason.PROVIDER_FAILED) from None
        yield OutboundFile(MediaKind(file["kind"]), file["mime"], file["filename"], content)
