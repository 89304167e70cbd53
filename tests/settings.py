"""What settings there are, as shared/config.py itself reads them."""

from __future__ import annotations

import os
from unittest import mock

from environs import Env, EnvValidationError

from shared.config import Settings


def variables() -> set[str]:
    """The name of each variable that is read."""
    env = Env(eager=False)
    with mock.patch.dict(os.environ, clear=True):
        Settings(env)
    with_default = env.dump()
    try:
        env.seal()
    except EnvValidationError as problem:
        return {*with_default, *problem.error_messages}
    return {*with_default}
