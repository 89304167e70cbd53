"""Why a file is not sent, in the language of who chose it."""

from __future__ import annotations

from flask_babel import gettext

from web.desk.known_texts import marked
from web.uploads import FileRefused, Why

_WORDS = {
    Why.TOO_LARGE: marked("The file is too large: %(most)s MB at most."),
    Why.EMPTY: marked("The file is empty."),
    Why.KIND: marked("This kind of file cannot be sent. Pictures, PDFs, texts, Word and Excel files and sounds can."),
    Why.QUOTA: marked("There is no room for the file: the files of this business fill their quota. An operator can raise it."),
    Why.CHANNEL: marked(
        "This file cannot be sent on %(channel)s: it is of a kind, or of a size, that %(channel)s does not take."
    ),
    Why.WORDS: marked("Beside this file %(channel)s takes at most %(most)s characters of text. Send it as a message of its own."),
    Why.GONE: marked("The file is no longer kept. Send it as a new message."),
}


def file_problem(refusal: FileRefused, channel: str) -> str:
    """A refusal's text, translated. `channel`: its name, as people know it."""
    return str(gettext(_WORDS[refusal.why], most=refusal.most, channel=channel))
