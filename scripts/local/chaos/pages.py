"""Pages that look at every conversation of the widget, as far as the workers know: so that the AI's replies are streamed."""

from __future__ import annotations

import hashlib
import threading

from scripts.local.chaos.plan import chatbot_ids, plan
from shared import db
from shared.channels.widget import drafts

#: Seconds after which they are said to be open again: a crash of PostgreSQL forgets them.
AGAIN = 0.5


class OpenPages:
    """Says so from now on, until it is stopped."""

    def __init__(self, messages: int, seed: int) -> None:
        chatbots = chatbot_ids()
        users = {(chatbots[m.tenant], m.external_user_id) for m in plan(messages, seed) if m.channel == "widget"}
        self._topics = [hashlib.md5(f"{bot}:{user}".encode(), usedforsecurity=False).hexdigest() for bot, user in sorted(users)]
        self._stopping = threading.Event()
        drafts.mark_open(self._topics)
        threading.Thread(target=self._keep_open, name="open-pages", daemon=True).start()

    def stop(self) -> None:
        """They are left."""
        self._stopping.set()

    def _keep_open(self) -> None:
        while not self._stopping.wait(AGAIN):
            try:
                drafts.mark_open(self._topics)
            except Exception as problem:
                if not db.is_outage(problem):
                    raise
