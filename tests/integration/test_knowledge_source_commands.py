"""scripts/knowledge import, sources, sync, retry, stop, forget."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.commands import knowledge, knowledge_sources
from scripts.local.simulator.client import Simulator
from tests.builders import World
from tests.integration.test_front_door_commands import run
from tests.integration.test_knowledge_import import base, items
from tests.integration.test_knowledge_import import run as run_jobs

__all__ = ["base"]


@pytest.fixture
def chatbot(world: World, base: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """While a command waits, the jobs run."""
    monkeypatch.setattr(knowledge_sources, "sleep", lambda _: run_jobs(world))
    return str(world.chatbot)


def test_files_and_a_site_are_imported_with_a_word_for_each_that_fails(
    world: World,
    chatbot: str,
    base: int,
    simulator: Simulator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "faq.csv").write_text("question,answer\nDo you ship?,We do.\nDo you wrap gifts?,\n", encoding="utf-8")
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-")
    assert run(knowledge, "import", str(tmp_path / "faq.csv"), str(tmp_path / "scan.pdf"), "--chatbot", chatbot) == 1
    printed = capsys.readouterr().out
    assert "(faq.csv) is done: 1 item (1 new)\n  stored: faq.csv left out: row 3 has no answer" in printed
    assert "(scan.pdf) failed; 0 items\n  failed: scan.pdf is damaged, or no PDF" in printed
    assert items(base) == {"Do you ship?": "We do."}

    simulator.site(pages=4, broken={"3": 404})
    assert run(knowledge, "import", "--sitemap", simulator.url, "--every", "24") == 1
    printed = capsys.readouterr().out
    assert "is done: pages: 3 added, 1 failed; 6 items (6 new)" in printed
    assert "/site/page-3 the page is gone (HTTP 404)\nscripts/knowledge retry 3 reads again what failed." in printed
    simulator.site(broken={}, changed=[2], gone=[1])
    assert run(knowledge, "retry", "3") == 0
    assert run(knowledge, "sync", "3") == 0
    assert "is done: pages: 1 changed, 2 unchanged, 1 removed; 6 items (1 new, 1 gone)" in capsys.readouterr().out
    assert run(knowledge, "sources") == 0
    listed = capsys.readouterr().out.split("\n")
    assert listed[2].split()[:9] == ["3", "sitemap", simulator.url, "done", "3", "3", "0", "0", "6"]
    assert run(knowledge, "forget", "3") == 0
    assert items(base) == {"Do you ship?": "We do."}
    assert run(knowledge, "import", str(tmp_path / "faq.csv"), "--chatbot", chatbot) == 0
    assert "(faq.csv) is done: 1 item (unchanged)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "shop.example"], "shop.example cannot be read (No such file or directory); an address begins with https://"),
        (["import", "--sitemap", "faq.csv"], "--sitemap takes the address of a site"),
        (["import", "shop.example?" + "x" * 300], "cannot be read (File name too long); an address begins with https://"),
        (["import", "ftp://shop.example/x"], "an address begins with https://"),
        (["import", "https://user:secret@shop.example/"], "must not contain a user name or password"),
        (["import", __file__], "is of a kind that cannot be read (.py)"),
        (["sync", "99"], "There is no source 99."),
        (["retry", "99"], "There is no source 99."),
        (["stop", "99"], "There is no source 99."),
        (["forget", "99"], "There is no source 99."),
    ],
)
def test_what_cannot_be_imported_is_refused(
    chatbot: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(knowledge, *arguments) == 1
    assert said in capsys.readouterr().err
