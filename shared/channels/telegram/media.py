"""Files that people send to a bot: an id leads to a path, and the path to the bytes; both addresses have the token in them.

Source: Bot API 9, getFile. A bot gets files of up to 20 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.channels.inbound import get_text
from shared.channels.telegram.api import call, description_of, result_of
from shared.channels.telegram.errors import classify_error
from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure, PermanentRefusal
from shared.http import Response
from shared.media.download import Download
from shared.media.fetching import MediaUnavailable, fetch, is_at


def fetch_file(account: Mapping[str, Any], source: Mapping[str, Any], download: Download) -> None:
    """Fetches the file of a file id. Raises as shared.media.fetching.fetch does."""
    token = decrypt(account["token"], f"Telegram bot {account['bot_id']}")
    answer = call(token, "getFile", {"file_id": get_text(source, "file_id")})
    if not answer.ok:
        raise _failure(answer)
    path = get_text(result_of(answer), "file_path")
    if not path or ".." in path:
        raise PermanentRefusal("media: Telegram names no path of the file")
    base = settings().telegram_url
    try:
        fetch(f"{base}/file/bot{token}/{path}", {}, download, is_at(base))
    except OutsideFailure as problem:
        raise problem from None  # its cause would name the address, and the token in it


def _failure(answer: Response) -> Exception:
    """A 400 may be of the moment ("wrong file_id or the file is temporarily unavailable"), or of the file's size."""
    said = description_of(answer).lower() if answer.status == 400 else ""
    if "temporarily unavailable" in said:
        return MediaUnavailable("media: Telegram does not have the file ready yet")
    if "too big" in said:
        return PermanentRefusal("media: Telegram gives bots no file of more than 20 MB")
    return classify_error(answer)
