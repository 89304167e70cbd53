"""scripts/setup: which Python it takes, what it says when there is none, and that two at once take turns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = ("sh", "cat", "cksum", "cut", "date", "dirname", "find", "grep", "ln", "readlink", "rm", "sed", "sleep", "tail", "wc")


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """The script with locks that hold nothing to install, and a PATH of its own without any Python."""
    for name in ("scripts", "bin", "path", "home"):
        (tmp_path / name).mkdir()
    shutil.copy(root / "scripts" / "setup", tmp_path / "scripts")
    for lock in ("scripts/requirements-dev.txt", "bin/requirements-dashboard.txt"):
        (tmp_path / lock).write_text("# nothing\n", encoding="utf-8")
    for tool in TOOLS:
        (tmp_path / "path" / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def setup(checkout: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(checkout / "path"), "HOME": str(checkout / "home"), **settings}
    return subprocess.run([checkout / "scripts" / "setup"], env=environment, capture_output=True, text=True, timeout=120)


def python(checkout: Path, name: str, suitable: bool = True) -> Path:
    """A command of this name: this test's Python, or one that finds itself too old."""
    program = checkout / "path" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n' if suitable else "#!/bin/sh\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("others", [(), ("python3", "python"), ("python3.13",)])
def test_without_a_suitable_python_it_says_what_it_needs(checkout: Path, others: tuple[str, ...]) -> None:
    for name in others:
        python(checkout, name, suitable=False)
    done = setup(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("setup: needs Python 3.11, 3.12, 3.13 or 3.14, and found none on PATH.")
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("named", ["python2", "/nowhere/python3"])
def test_a_python_that_was_named_and_does_not_suit_is_named_again(checkout: Path, named: str) -> None:
    python(checkout, "python3")
    python(checkout, "python2", suitable=False)
    done = setup(checkout, SWITCHBOARD_PYTHON=named)
    assert done.returncode == 1
    assert f"SWITCHBOARD_PYTHON={named} is not Python 3.11, 3.12, 3.13 or 3.14" in done.stderr


@pytest.mark.parametrize(
    ("suitable", "unsuitable"),
    [("python3.14", ("python3.13", "python3")), ("../home/.pyenv/versions/3.13.0/bin/python3", ("python3",))],
)
def test_it_takes_the_one_that_suits_and_is_quiet_the_second_time(
    checkout: Path, suitable: str, unsuitable: tuple[str, ...]
) -> None:
    for name in unsuitable:
        python(checkout, name, suitable=False)
    python(checkout, suitable)
    done = setup(checkout)
    assert done.returncode == 0, done.stderr
    assert "setup: done" in done.stderr
    assert (checkout / ".venv" / "bin" / "pip").exists()
    done = setup(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_second_of_two_waits_and_a_lock_that_was_left_behind_does_not_block(checkout: Path) -> None:
    python(checkout, "python3")
    lock = checkout / ".venv.lock"
    lock.symlink_to(str(os.getpid()))
    with subprocess.Popen(
        [checkout / "scripts" / "setup"], env={"PATH": str(checkout / "path")}, stderr=subprocess.PIPE, text=True
    ) as second:
        assert second.stderr is not None
        assert second.stderr.readline() == f"setup: waits for another setup (process {os.getpid()})\n"
        assert not (checkout / ".venv").exists()
        lock.unlink()
        lock.symlink_to("999999999")  # no process has this number
        assert second.wait(100) == 0
    assert (checkout / ".venv" / "switchboard.stamp").exists()
    assert not lock.is_symlink()


def test_where_nothing_can_be_written_it_says_so(checkout: Path) -> None:
    python(checkout, "python3")
    done = setup(checkout, SWITCHBOARD_VENV="nowhere/venv")
    assert done.returncode == 1
    assert done.stderr.startswith("setup: cannot write here: ln: ")
    assert "Run scripts/setup once as a user who may." in done.stderr


def test_what_pip_refuses_is_shown(checkout: Path) -> None:
    python(checkout, "python3")
    (checkout / "scripts" / "requirements-dev.txt").write_text("not-hashed==1.0\n", encoding="utf-8")
    done = setup(checkout)
    assert done.returncode == 1
    assert "setup: pip failed; all that it printed is in .venv/setup.log:" in done.stderr
    assert "not-hashed" in done.stderr
    assert not (checkout / ".venv" / "switchboard.stamp").exists()


def test_a_python_that_this_user_cannot_run_is_named(checkout: Path) -> None:
    """As in another user's home: the virtual environment is complete, and to write there would not help."""
    python(checkout, "python3")
    assert setup(checkout).returncode == 0
    programs, refusing = checkout / ".venv" / "bin", checkout / "path" / "ln"
    (programs / "python").unlink()
    (programs / "python").symlink_to("python3.11")
    (programs / "python3.11").unlink(missing_ok=True)
    (programs / "python3.11").symlink_to("/somebodys/home/python3.11")
    refusing.unlink()
    refusing.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    refusing.chmod(0o755)
    done = setup(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("setup: this user cannot run /somebodys/home/python3.11, the Python of .venv. ")
    assert "SWITCHBOARD_PYTHON" in done.stderr
