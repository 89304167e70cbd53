"""How fast the desk's pages are on a large database: each is asked by one person, some times, of a real web process."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests

from scripts.local.bench import business
from scripts.local.bench.rig import Rig, Web
from shared import db
from shared.db import sql
from shared.people import users

queries = sql.load(__file__)

#: Milliseconds within which 95 of 100 answers have to come.
BAR = 200.0
#: How often each page is asked, after two times that warm up its plans and PostgreSQL's memory.
TIMES, WARM_UP = 20, 2
#: Seconds for a page.
TIMEOUT = 60.0
PASSWORD = "correct horse battery"

#: The pages by who asks, with names in braces for ids of `ids`: those of tests/integration/desk_pages.py, their
#: fragments, filters, searches, and their second pages where they have one. HX: as htmx asks.
PAGES = {
    "agent": """
        /desk/profile
        /desk/c/{customer}/inbox
        HX /desk/c/{customer}/inbox?view=waiting
        /desk/c/{customer}/inbox?view=mine
        /desk/c/{customer}/inbox?view=people
        /desk/c/{customer}/inbox?view=bot
        /desk/c/{customer}/inbox?view=closed
        /desk/c/{customer}/inbox?view=all&channel=telegram
        /desk/c/{customer}/inbox?view=all&chatbot={chatbot}
        /desk/c/{customer}/inbox?q=delivery
        /desk/c/{customer}/inbox?q=order+{order}
        /desk/c/{customer}/inbox?q=nobody+says+this
        /desk/c/{customer}/inbox?q=Huber
        /desk/c/{customer}/inbox?q=4915000
        /desk/c/{customer}/conversations/{conversation}
        HX /desk/c/{customer}/conversations/{conversation}/thread
        /desk/c/{customer}/conversations/{longest}
        /desk/c/{customer}/conversations/{longest}?before={message}
        /desk/c/{customer}/quick-replies
        """,
    "owner": """
        /desk/c/{customer}/chatbots
        /desk/c/{customer}/chatbots/{chatbot}/answers
        /desk/c/{customer}/chatbots/{chatbot}/model
        /desk/c/{customer}/chatbots/{chatbot}/people
        /desk/c/{customer}/chatbots/{chatbot}/website
        HX /desk/c/{customer}/chatbots/{chatbot}/test
        /desk/c/{customer}/knowledge
        /desk/c/{customer}/knowledge/{base}
        /desk/c/{customer}/knowledge/{base}?q=shipping
        /desk/c/{customer}/knowledge/{base}?q=when+is+my+order+late
        /desk/c/{customer}/knowledge/{base}?source={source}
        /desk/c/{customer}/knowledge/{base}/items/new
        /desk/c/{customer}/knowledge/{base}/items/{item}
        /desk/c/{customer}/knowledge/{base}/sources
        /desk/c/{customer}/knowledge/{base}/sources/{source}
        /desk/c/{customer}/knowledge/{base}/gaps
        /desk/c/{customer}/channels
        /desk/c/{customer}/webhooks
        /desk/c/{customer}/webhooks/new
        /desk/c/{customer}/webhooks/{webhook}
        /desk/c/{customer}/webhooks/{webhook}?failed=1
        /desk/c/{customer}/webhooks/{webhook}?failed=1&hours=24
        /desk/c/{customer}/webhooks/{webhook}?hours=168&status=DELIVERED
        /desk/c/{customer}/webhooks/{webhook}/settings
        /desk/c/{customer}/usage
        /desk/c/{customer}/usage?days=7
        /desk/c/{customer}/usage?days=90
        /desk/c/{customer}/usage/budget
        /desk/c/{customer}/team
        /desk/c/{customer}/keys
        /desk/c/{customer}/audit
        /desk/c/{customer}/audit?kind=replay
        """,
    "operator": """
        /desk/operate/people
        /desk/operate/audit
        /desk/operate/audit?kind=replay
        /desk/operate/
        /desk/operate/?queue=ai-processing
        /desk/operate/failures
        /desk/operate/failures/list
        /desk/operate/failures/list?state=ignored
        /desk/operate/failures/list?error=190&customer={customer}
        /desk/operate/failures/list?since=2d
        /desk/operate/replays
        /desk/operate/replays/new
        /desk/operate/replays/{replay}
        /desk/operate/search
        /desk/operate/search?q=4915000{message}
        /desk/operate/search?q=Shop
        /desk/operate/search?q={external_id}
        /desk/operate/messages/{message}
        /desk/operate/pauses
        /desk/operate/prices
        /desk/operate/customers
        /desk/operate/customers?q=Shop
        /desk/c/{customer}/inbox?view=all
        /desk/c/{customer}/inbox?q=delivery
        """,
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Page:
    """Milliseconds of each answer."""

    role: str
    address: str
    times: list[float]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        """Of 20 answers the slowest but one."""
        return sorted(self.times)[max(0, round(len(self.times) * 0.95) - 1)]


def measure(rig: Rig, messages: int, say: Say) -> list[Page]:
    """Fills the database, and asks a web process for all pages; the slowest first."""
    db.rows("truncate customer cascade")
    customer_id = business.add_customers()
    people = {role: _person(role, customer_id) for role in PAGES}
    business.fill(messages, customer_id, people["agent"], say)
    named = queries["ids"].row(customer_id=customer_id)
    if named is None:
        raise RuntimeError(f"{messages} messages do not make a business of each kind; use 20,000 or more.")
    with rig.web({}) as web:
        pages = [page for role in PAGES for page in _ask(role, web, named, say)]
    return sorted(pages, key=lambda page: -page.p95)


def _person(role: str, customer_id: int) -> int:
    user = users.create(f"{role}@shop.example", role.title(), role, None if role == "operator" else customer_id)
    users.set_password(user.id, PASSWORD)
    return user.id


def addresses(role: str) -> Iterator[tuple[str, bool]]:
    """A role's, and whether htmx asks."""
    for line in PAGES[role].split("\n"):
        if address := line.strip():
            yield address.removeprefix("HX "), address.startswith("HX ")


def _ask(role: str, web: Web, named: dict[str, object], say: Say) -> Iterator[Page]:
    with requests.Session() as session:
        session.trust_env = False
        form = session.get(f"{web.url}/desk/login", timeout=TIMEOUT).text
        token = re.search(r'name="csrf_token" value="([^"]+)"', form)
        login = {"email": f"{role}@shop.example", "password": PASSWORD, "csrf_token": token[1] if token else ""}
        answer = session.post(f"{web.url}/desk/login", login, headers={"Referer": f"{web.url}/desk/login"}, timeout=TIMEOUT)
        if "/desk/login" in answer.url:
            raise RuntimeError(f"The {role} cannot log in: {answer.status_code}.")
        for address, is_fragment in addresses(role):
            url, headers = web.url + address.format(**named), {"HX-Request": "true"} if is_fragment else {}
            page = Page(role, address, [_timed(session, url, headers) for _ in range(WARM_UP + TIMES)][WARM_UP:])
            say(f"  {page.p95:6.0f} ms  {role} {address}")
            yield page


def _timed(session: requests.Session, url: str, headers: dict[str, str]) -> float:
    begun = time.monotonic()
    answer = session.get(url, headers=headers, timeout=TIMEOUT)
    ms = (time.monotonic() - begun) * 1000
    if answer.status_code != 200 or "/desk/login" in answer.url:
        raise RuntimeError(f"{url} answered {answer.status_code}.")
    return ms
