"""The bench of the desk asks what the tests know as pages, as somebody who may open it."""

from __future__ import annotations

from scripts.local.bench import desk
from tests.integration.desk_pages import PAGES

ROLES = ("agent", "owner", "operator")


def test_nobody_is_asked_for_more_than_their_role_may() -> None:
    least = {page.path.partition("?")[0]: page.role for page in PAGES}
    asked = [(address.partition("?")[0], role) for role in desk.PAGES for address, _ in desk.addresses(role)]
    assert len(least.keys() & {address for address, _ in asked}) > 35
    for address, role in asked:
        assert ROLES.index(least.get(address, role)) <= ROLES.index(role), address


def test_of_twenty_times_the_slowest_but_one_counts() -> None:
    page = desk.Page("agent", "/desk/profile", [float(number) for number in range(1, 21)])
    assert (page.p50, page.p95) == (10.5, 19.0)
