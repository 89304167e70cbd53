"""Forms with a file in them, as uploads are sent (multipart/form-data)."""

from __future__ import annotations

from collections.abc import Mapping

from urllib3 import encode_multipart_formdata


def form(fields: Mapping[str, str], field: str, filename: str, mime: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    """A body of these fields and a file, and the header that says so: `post` takes both."""
    body, content_type = encode_multipart_formdata({**fields, field: (filename, content, mime)})
    return body, {"Content-Type": content_type}
