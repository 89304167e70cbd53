"""What is no text, in words, for every channel."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.channels.words import ids, in_words

WORDS: list[tuple[dict[str, Any], str]] = [
    ({"choice": {"id": "c1", "title": "Delivery"}}, "Delivery"),
    ({"choice": {"id": "p1", "title": "Option 1", "description": "Blue chair, 50 EUR"}}, "Option 1 (Blue chair, 50 EUR)"),
    ({"choice": {"id": "p1", "description": "Blue chair"}}, "Blue chair"),
    ({"choice": {"id": "stop"}}, "stop"),
    ({"form": {"answers": {"name": "Ana", "guests": 2, "vegan": True, "flow_token": "t1"}}}, "name: Ana\nguests: 2\nvegan: yes"),
    ({"form": {"answers": {"values": {"city": "Rio", "pin": 7.0}, "days": ["mon", "fri"], "x": None}}},
     "values.city: Rio\nvalues.pin: 7\ndays: mon, fri"),
    ({"form": {"answers": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}}, "a.b.c.d.e: f: 1"),
    ({"order": {"note": "gift-wrap it", "items": [{"id": "SKU-7", "quantity": 2, "price": 30, "currency": "EUR"}]}},
     "gift-wrap it\n🛒 2 × SKU-7, 30 EUR"),
    ({"order": {"items": [{"id": "7", "name": "Chair"}, {"id": "8", "price": 9.5}]}}, "🛒 1 × Chair (7)\n🛒 1 × 8, 9.5"),
    ({"product": {"id": "SKU-7", "title": "Blue chair", "price": 50, "currency": "EUR"}}, "🏷 Blue chair (SKU-7), 50 EUR"),
    ({"location": {"latitude": -22.9, "longitude": -43.2, "name": "Café X", "address": "Rua 1"}},
     "📍 Café X, Rua 1 (-22.9, -43.2)"),
    ({"location": {"latitude": 0, "longitude": 0}}, "📍 0, 0"),
    ({"location": {"name": "Café X", "url": "https://m.example/1"}}, "📍 Café X https://m.example/1"),
    ({"contacts": [{"name": "Bo Li", "phones": ["+49 30 1"], "emails": ["bo@x.example"]}, {}, {"phones": ["1"]}]},
     "👤 Bo Li, +49 30 1, bo@x.example\n👤 1"),
    ({"poll": {"question": "Which?", "options": ["red", "blue"]}}, "📊 Which?\n- red\n- blue"),
    ({"vote": {"question": "Which?", "options": ["red"]}}, "📊 Which?: red"),
    ({"vote": {"options": ["red", "blue"]}}, "📊 red, blue"),
    ({"event": {"name": "Fitting", "place": "Shop"}}, "📅 Fitting, Shop"),
    ({"referral": {"source_type": "ad", "headline": "Blue chair 50% off", "body": "Only this week", "source_url": "https://fb.me/x"}},
     "(comes from the ad: Blue chair 50% off: Only this week https://fb.me/x)"),
    ({"referral": {"source_type": "ad", "greeting": "How can we help?"}}, "(comes from the ad: greeted with: How can we help?)"),
    ({"quoted": {"id": "wamid.1"}, "album": "7"}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("data", "words"), WORDS)
def test_each_thing_has_its_words_and_the_customers_own_come_first(data: dict[str, Any], words: str) -> None:
    assert in_words(data) == words
    assert in_words(data, " How much? ") == "How much?" + (f"\n{words}" if words else "")


def test_several_things_are_told_one_below_the_other() -> None:
    data = {"referral": {"headline": "Sale"}, "location": {"name": "Shop"}, "choice": {"title": "Yes"}}
    assert in_words(data) == "Yes\n📍 Shop\n(comes from the ad: Sale)"


def test_ids_are_for_the_metadata() -> None:
    data = {"choice": {"id": "c1", "title": "Yes"}, "quoted": {"id": "w1"}, "referral": {"source_id": 1202, "ctwa_clid": "ARA"}}
    assert ids(data) == {"choice_id": "c1", "quoted_id": "w1", "referral_id": "1202", "ctwa_clid": "ARA"}
    assert ids({}) == {}


_ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_MEMBERS = ["id", "title", "description", "answers", "items", "note", "latitude", "longitude", "name", "headline"]


@given(st.dictionaries(st.sampled_from(["choice", "form", "order", "product", "location", "event", "referral", "poll", "vote"]),
                       st.dictionaries(st.sampled_from(_MEMBERS), _ANY, max_size=4)), st.lists(_ANY, max_size=2))  # fmt: skip
def test_whatever_stands_in_it_there_are_words_or_none(data: dict[str, Any], contacts: list[Any]) -> None:
    words = in_words({**data, "contacts": contacts})
    assert words == words.strip()
