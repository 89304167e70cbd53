"""The hooks: what channels' providers call when a customer writes, when a reply got somewhere, when a phone went offline.

What belongs here: one module per channel with a hook, of the channel's name, which has `hook` (its blueprint) and `replay` (what
to do with a reject once its account is connected). A hook reads top-down: verify, parse, store; the first two are the channel's
(shared/channels), storing is `inbox`'s and the same for all. `replay` goes through the rejects.
What does not: how a channel signs and what its bodies mean (shared/channels), what becomes of a message (workers).
It may import: web's own helpers, shared. Used by web/app.py and scripts/commands/jobs.py.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from shared.channels.registry import CHANNELS


def hook_modules() -> dict[str, ModuleType]:
    """The module of each channel that has a hook, by the channel's name."""
    return {name: import_module(f"{__name__}.{name}") for name, channel in CHANNELS.items() if channel.has_hook}
