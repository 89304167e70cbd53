"""The widget's streams: what is new in a visitor's conversation, as server-sent events (web/server/streams.py).

PostgreSQL notifies at the commit that changed a conversation (widget_changed in schema.sql). One LISTEN connection a process
hears it and wakes the visitor's streams; what is newer than they have sent is read for many of them by one statement. A lost
notification delays a message by seconds and loses none: every stream is read again every ten seconds, and all of them at
once after the LISTEN connection broke. Replies that are being written come the same way, where a page is open: the streams say
so in the table open_page (shared/channels/widget/drafts.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from web.server.streams import Stream, StreamHub
from web.widget import notifications, open_pages
from web.widget.conversation import Asked, Draft, News, news_of_many
from web.widget.events import events_of
from web.widget.visitor import Visitor


class WidgetStream(Stream):
    """A visitor's open page. `seen` is the revision that it has, `draft` the reply that it sees growing."""

    __slots__ = ("draft", "marked_at", "seen", "visitor")

    def __init__(self, visitor: Visitor, seen: int, address: str) -> None:
        super().__init__(visitor.topic, visitor.chatbot_id, address)
        self.visitor, self.seen = visitor, seen
        self.draft: Draft | None = None
        self.marked_at = -math.inf  # when it was last said that this page is open


class WidgetHub(StreamHub[WidgetStream]):
    """The widget's streams of a process."""

    group = "this chatbot"

    def _listen(self) -> None:
        notifications.listen(self)

    def _ask(self, page: list[WidgetStream]) -> Sequence[News]:
        """Its pages count as open from then on."""
        open_pages.mark(page)
        return news_of_many([Asked(stream.visitor, stream.seen, stream.draft) for stream in page])

    def _events(self, stream: WidgetStream, latest: News) -> tuple[str, bool]:
        text, stream.draft = events_of(latest, stream.draft)
        stream.seen = latest.cursor
        return text, latest.is_behind
