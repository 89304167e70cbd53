"""Files of Meta's Cloud API: an id leads to an address that lives for five minutes, and both requests carry the token.

Source: Meta's Cloud API reference, media. The token goes to the Graph API and to Meta's CDN (WHATSAPP_MEDIA_URL), nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shared.channels.inbound import get_path, get_text
from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import PermanentRefusal, Snooze
from shared.http import Response, get
from shared.media.download import Download
from shared.media.fetching import CREDENTIALS, MediaGone, failure_of, fetch, is_at

_ID = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
#: Codes of an answer: the token is not valid; there is no such file, or it is not this number's.
_TOKEN, _NO_SUCH_FILE = frozenset({0, 190}), 100
#: How often an address is asked for: one that has expired, or whose file is gone, answers 404.
ADDRESSES = 2


def fetch_file(account: Mapping[str, Any], source: Mapping[str, Any], download: Download) -> None:
    """Fetches the file of a media id. Raises as shared.media.fetching.fetch does."""
    media_id = str(source.get("id", ""))
    if not _ID.fullmatch(media_id):
        raise PermanentRefusal("media: the message has no media id")
    token = decrypt(account["access_token"], f"WhatsApp number {account['phone_number_id']}")
    headers = {"Authorization": f"Bearer {token}"}
    for tries_left in reversed(range(ADDRESSES)):
        about = _about(media_id, headers)
        size = about.get("file_size")
        download.expect(size if isinstance(size, int) and size > 0 else None, get_text(about, "sha256") or None)
        try:
            fetch(get_text(about, "url"), headers, download, is_at(settings().graph_media_url), may_expire=True)
        except MediaGone:
            if not tries_left:
                raise
        else:
            return


def _about(media_id: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """What Graph says of a file: url, mime_type, sha256, file_size."""
    conf = settings()
    answer = get(f"{conf.graph_url}/{conf.graph_version}/{media_id}", headers, conf.http_timeout)
    if not answer.ok:
        raise _failure(answer)
    about = answer.json()
    if not get_text(about, "url"):
        raise PermanentRefusal("media: the Graph API names no address of the file")
    return dict(about)


def _failure(answer: Response) -> Exception:
    code = get_path(answer.json(), "error", "code")
    if code in _TOKEN:
        return Snooze(CREDENTIALS, "media: the Graph API does not take the number's token (code 190)")
    if answer.status == 400 and code == _NO_SUCH_FILE:
        return MediaGone("media: the Graph API has no such file any more (code 100)")
    return failure_of(answer, "the Graph API")
