"""Whoever goes by keys gets to the field that a page is about, without a walk through its menu."""

from __future__ import annotations

import pytest

from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import furnish, person
from tests.integration.test_desk_browser import log_in
from tests.site import Site

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

#: Pages, the keys that are pressed there, and the id of the field that has the focus then.
_FIELDS = (
    ("/desk/c/{customer}/knowledge/{base}/items/new", "", "title"),
    ("/desk/c/{customer}/webhooks/new", "", "url"),
    ("/desk/c/{customer}/quick-replies", "n", "shortcut"),
    ("/desk/c/{customer}/channels/whatsapp_cloud/{chatbot}", "n", "secret"),
    ("/desk/operate/pauses", "n", "queue"),
)


def test_a_form_is_begun_by_a_key_at_most(browser: Browser, site: Site, world: World) -> None:
    ids = furnish(world)
    log_in(browser, site, person("operator", None))
    for path, keys, field in _FIELDS:
        browser.open(site.url + path.format(**ids))
        browser.until("document.readyState === 'complete' && typeof deskKeys === 'object'")
        if keys:
            browser.type(keys)
        browser.until("document.activeElement.id === arguments[0]", field)
