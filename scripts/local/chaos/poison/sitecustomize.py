"""Loaded into the worker processes of the `poison` scenario (by PYTHONPATH): a marked prompt kills its process.

It stands for anything that a payload can do to a process: a crash in a C library, the kernel's OOM killer.
"""

import importlib.abc
import importlib.machinery
import os
import signal
import sys
from typing import Any

_MARK = "poison-pill"


class _ProviderPatcher(importlib.abc.MetaPathFinder):
    """Loads shared.ai.provider unchanged, then wraps its complete()."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:  # noqa: ARG002 - importlib's signature
        if name != "shared.ai.provider":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            module.complete = _kill_on_mark(module.complete)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _kill_on_mark(complete: Any) -> Any:
    def wrapped(provider: Any, messages: Any, **more: Any) -> Any:
        if _MARK in messages[-1]["content"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return complete(provider, messages, **more)

    return wrapped


sys.meta_path.insert(0, _ProviderPatcher())
