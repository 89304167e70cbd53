"""Messages' ids as visitors see them: encrypted, for the numbers count what the whole platform does.

An id of ours is one block of AES; without the key it says nothing, and nobody can make one. It lasts as long as its key.
"""

from __future__ import annotations

import base64
import re

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from web.widget.keys import derived_keys

#: Separates these keys from every other use of CREDENTIALS_KEY.
_PURPOSE = b"switchboard widget message id 1"
_ID = re.compile(r"m_([\w-]{22})", re.ASCII)
#: Bytes of a row's id, and of zeros before it that prove that a key is the right one.
_ROW_ID, _PROOF = 8, bytes(8)


def public_id(row_id: int) -> str:
    """What visitors are told instead of this number."""
    cipher = _cipher(derived_keys(_PURPOSE)[0]).encryptor()
    block = cipher.update(_PROOF + row_id.to_bytes(_ROW_ID))
    return "m_" + base64.urlsafe_b64encode(block).decode().rstrip("=")


def row_id(text: str) -> int | None:
    """The number behind such an id; None if it is none of ours."""
    match = _ID.fullmatch(text)
    block = base64.urlsafe_b64decode(match[1] + "==") if match else b""
    for key in derived_keys(_PURPOSE) if block else ():
        plain = _cipher(key).decryptor().update(block)
        if plain.startswith(_PROOF):
            return int.from_bytes(plain[len(_PROOF) :])
    return None


def _cipher(key: bytes) -> Cipher[ECB]:
    return Cipher(AES(key), ECB())  # one block, each once: there is nothing to chain
