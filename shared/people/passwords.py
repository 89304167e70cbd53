"""Passwords: argon2id, by argon2-cffi."""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: Characters. Length is what makes a password hard to guess; rules about its characters do not (NIST SP 800-63B, 3.1.1).
SHORTEST, LONGEST = 10, 200

#: OWASP's choice with the least memory: 19 MiB each, so that all threads of a process at once fit into a machine with 512 MiB.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
#: Verified where there is no user or no password, so that the time of an answer does not tell whether there is one.
_NOBODYS = _hasher.hash("nobody's")


def problem_with(password: str, *own_words: str) -> str | None:
    """Why this password is not taken, None if it is. `own_words` are what others would try first: name and address."""
    if not SHORTEST <= len(password) <= LONGEST:
        return "length"
    known = {word.casefold() for word in own_words if word}
    return "guessable" if len(set(password)) < 4 or password.casefold() in known else None


def hashed(password: str) -> str:
    """As it is stored."""
    return _hasher.hash(_normalized(password))


def matches(password: str, stored: str | None) -> bool:
    """Whether this is the password; takes as long where there is none."""
    try:
        return _hasher.verify(stored or _NOBODYS, _normalized(password)) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def _normalized(password: str) -> str:
    """The same characters are the same bytes on every keyboard."""
    return unicodedata.normalize("NFKC", password)
