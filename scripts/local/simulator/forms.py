"""Forms with files in them, as the services read them: strictly."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from scripts.local.simulator.exchange import Request


@dataclass(frozen=True)
class Upload:
    """A file that was sent."""

    name: str
    mime: str
    content: bytes = field(repr=False)

    def shown(self, kind: str, caption: str = "", **more: Any) -> dict[str, Any]:
        """As the record has it: `kind` is what it was sent as."""
        about = {"kind": kind, "name": self.name, "mime": self.mime, "size": len(self.content), "caption": caption}
        return {**about, "sha256": hashlib.sha256(self.content).hexdigest(), **more}


def form_of(request: Request) -> tuple[dict[str, str], dict[str, Upload]]:
    """Fields and files of a multipart form. Raises ValueError for a body that is none."""
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != "multipart/form-data" or not options.get("boundary"):
        raise ValueError("it is no multipart form")
    parser = FormDataParser(silent=False)
    _, fields, files = parser.parse(BytesIO(request.body), media_type, len(request.body), options)
    uploads = {name: Upload(file.filename or "", file.mimetype, file.read()) for name, file in files.items()}
    return dict(fields.items()), uploads


def decoded(text: Any) -> bytes | None:
    """What base64 stands for; None if it is none: with a prefix, with line ends, or cut off."""
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (ValueError, binascii.Error):
        return None
