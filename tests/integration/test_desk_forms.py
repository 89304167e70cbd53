"""Every form of the desk says what is wrong with whatever is written into it; none fails by an error of ours."""

from __future__ import annotations

from html.parser import HTMLParser

from shared.people import users
from tests.builders import World
from tests.integration.desk_pages import PAGES, Visitor, furnish, person
from web.app import create_app

#: What no field expects: more digits than a float has, a digit that `int` does not know, odd characters. And whether hidden
#: fields have it as well.
WRITTEN = (("9" * 400, False), ("²", True), ("\u2028'\"\\%s{{7*7}}<b>\U0010ffff", False))
#: What ends the session of the test itself.
_ENDS = ("/logout", "/sessions/end")
#: What takes others' rows away, and so comes last.
_TAKES_AWAY = ("delete", "erase", "remove", "disable", "stop")


class Forms(HTMLParser):
    """A page's forms: of each method and address the fields, with the values of those that are hidden."""

    def __init__(self, path: str, page: str) -> None:
        super().__init__()
        self.path, self.found, self._fields = path, dict[tuple[str, str], dict[str, str | None]](), dict[str, str | None]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a form, or a field of the one that is open."""
        given = dict(attrs)
        if tag == "form":
            self._fields = self.found.setdefault((given.get("method") or "get", given.get("action") or self.path), {})
        elif name := given.get("name"):
            self._fields.setdefault(name, given.get("value") if given.get("type") == "hidden" else None)
        if address := given.get("formaction"):
            self.found[("post", address)] = self._fields


def test_no_form_fails_by_what_is_written_into_it(world: World) -> None:
    app, ids = create_app(), furnish(world)
    operator = person("operator", None)
    users.allow_texts(operator.id, True)
    browser, forms = Visitor(app, operator), dict[tuple[str, str], dict[str, str | None]]()
    paths = [page.path.format(**ids) for page in PAGES]
    for path in paths:
        forms |= Forms(path, browser.get(path).text).found
    own = [form for form in forms if not form[1].endswith(_ENDS)]
    assert len(own) > 50
    token, failed = browser.token(), []
    for method, address in sorted(own, key=lambda form: (any(word in form[1] for word in _TAKES_AWAY), form)):
        fields = forms[method, address]
        for written, is_hidden_too in WRITTEN:
            sent = {name: written if value is None or is_hidden_too else value for name, value in fields.items()}
            more = {"data": {**sent, "csrf_token": token}} if method == "post" else {"query_string": sent}
            answer = browser.client.open(address.partition("?")[0], method=method.upper(), **more)  # type: ignore[arg-type]
            if answer.status_code >= 500:
                failed.append((method, address, written[:9]))
    failed += [("get", path, "") for path in paths if browser.get(path).status_code >= 500]
    assert failed == []
    assert browser.get("/desk/profile").status_code == 200, "who is logged out has tried nothing"
