"""A web process does not keep what its threads used once."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

THREADS = 8
#: All threads have checked a password, and are still there.
PROGRAM = f"""
import resource, threading
from pathlib import Path
import web.server.gunicorn_conf
from shared.people.passwords import matches

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def check():
    met.wait()  # at once, so that each has memory of its own
    matches("a password", None)
    met.wait()
    met.wait()

met = threading.Barrier({THREADS} + 1)
for _ in range({THREADS}):
    threading.Thread(target=check).start()
before = resident()
met.wait(), met.wait()
print(resident() - before)
met.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_threads_that_checked_a_password_keep_none_of_its_memory() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 19 * 2**20, "one thread has kept what argon2 took"
