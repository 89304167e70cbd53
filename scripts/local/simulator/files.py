"""Files that customers sent, as Meta, WAHA and Evolution API give them out. A file's bytes are made of its name.

Names that begin so are given out wrongly: `empty-`, `wrong-hash-`, `longer-` (than announced), `short-` (it breaks off),
`elsewhere-` (at a host that is not Meta's), `redirected-` (to such a host), `expired-` (its first address is no longer good),
`gone-`, `unknown-`.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections import Counter
from urllib.parse import urlsplit

from scripts.local.simulator.errors import evolution_error, graph_error
from scripts.local.simulator.exchange import Reply, Request

#: The host by which this machine is another one than 127.0.0.1.
ELSEWHERE = "localhost"
_PIXELS = 64

#: How often an address of a file was given out.
_addresses: Counter[str] = Counter()


def content(name: str) -> tuple[str, bytes]:
    """Type and bytes of a file: a picture, or by the end of its name something else."""
    if name.endswith((".ogg", ".oga")):
        return "audio/ogg", b"OggS\x00\x02" + hashlib.sha256(name.encode()).digest() * 200
    if name.endswith(".pdf"):
        return "application/pdf", b"%PDF-1.4\n% " + name.encode() + b"\n%%EOF\n"
    if name.endswith(".txt"):
        return "text/plain", f"This is {name}.\n".encode()
    return "image/png", picture(name)


def picture(name: str) -> bytes:
    """A PNG of one colour, which is the name's."""
    colour = hashlib.sha256(name.encode()).digest()[:3]
    rows = (b"\x00" + colour * _PIXELS) * _PIXELS
    head = _PIXELS.to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"tEXt", b"name\x00" + name.encode()), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def graph_media(request: Request) -> Reply:
    """GET /{version}/{media id}: where the file is, for five minutes. GET of that address: the file."""
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return graph_error(401, 190, "Invalid OAuth access token")
    path = urlsplit(request.path).path
    name = path.rsplit("/", 1)[-1]
    return _file(name, "graph", request) if "/attachments/" in path else _address(name, request)


def _address(name: str, request: Request) -> Reply:
    if name.startswith("unknown-"):
        return graph_error(400, 100, f"Unsupported get request. Object with ID '{name}' does not exist", key=name)
    mime, body = content(name)
    _addresses[name] += 1
    host = request.headers.get("host", "127.0.0.1")
    host = f"{ELSEWHERE}:{host.rpartition(':')[2]}" if name.startswith("elsewhere-") else host
    about = {
        "url": f"http://{host}/whatsapp_business/attachments/{_addresses[name]}/{name}",
        "mime_type": mime,
        "sha256": hashlib.sha256(b"another file" if name.startswith("wrong-hash-") else body).hexdigest(),
        "file_size": len(body),
        "id": name,
        "messaging_product": "whatsapp",
    }
    return Reply(200, about, accepted=True, key=name)


def waha_file(request: Request) -> Reply:
    """GET /api/files/{session}/{name}, with the gateway's key."""
    if "x-api-key" not in request.headers:
        return Reply(401, {"message": "Unauthorized", "statusCode": 401})
    return _file(urlsplit(request.path).path.rsplit("/", 1)[-1], "waha", request)


def evolution_file(request: Request) -> Reply:
    """POST /chat/getBase64FromMediaMessage/{instance}; the file of the message's id."""
    name = str(((request.json().get("message") or {}).get("key") or {}).get("id", ""))
    if name.startswith(("gone-", "unknown-")):
        return evolution_error(400, "Bad Request", ["Message not found"], name)
    mime, body = content(name)
    body = b"" if name.startswith("empty-") else body
    about = {"mediaType": mime.split("/")[0], "fileName": name, "mimetype": mime, "base64": base64.b64encode(body).decode()}
    return Reply(201, about, accepted=True, key=name)


def _file(name: str, provider: str, request: Request) -> Reply:
    mime, body = content(name)
    is_first = "/attachments/1/" in request.path
    if name.startswith("gone-") or (name.startswith("expired-") and is_first):
        return Reply(404, {"error": f"no file {name} at {provider}"}, key=name)
    if name.startswith("redirected-"):
        port = request.headers.get("host", "").rpartition(":")[2]
        return Reply(302, {}, key=name, headers={"Location": f"http://{ELSEWHERE}:{port}/customer/stolen"})
    if name.startswith("empty-"):
        body = b""
    elif name.startswith("longer-"):
        body += b"more"
    elif name.startswith("short-"):
        body = body[:-1]
    return Reply(200, body, accepted=True, key=name, headers={"Content-Type": mime})
