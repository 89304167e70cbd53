"""Columns of a table that are nobody's business but the shop's: what it pays and earns, and what its programs note."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: What the shop pays and earns; what WooCommerce and Shopify note beside a product.
_PRIVATE = re.compile(
    r"\b(intern(?!at|et|ship|al (storage|memory)|er speicher)\w*|lieferant\w*|supplier\w*|wholesale|marge|margin)\b"
    r"|\b(einkaufs(?!wert|zentr|gutschein|wagen|korb)\w*|ek|cost per item|(?<!minimum )(?<!min )(?<!min\. )purchas\w*)\b"
    r"|\b((buying|cost) prices?|landed costs?|costs? of goods.*|cogs|mark-?ups?(?! language)|(profit|gewinn) (%|in %|\(%\)))"
    r"|\b((selbst|herstell(ungs)?|gestehungs|waren)kosten|einstands?\w*|rohertrag|rohgewinn|gewinnspanne|deckungsbeitrag"
    r"|handelsspanne|händlerpreis\w*)\b"
    r"|\b(prix d['’]achat|prix de revient|coût d['’]achat|fournisseur|precio de (compra|coste|costo)|proveedor"
    r"|prezzo d['’]acquisto|costo d['’]acquisto|fornitore|margine|ricarico|inkoop\w*|kostprijs|leverancier"
    r"|preço de (custo|compra)|fornecedor)\b"
    r"|^(tax (status|class)|is featured|backorders|sold individually|low stock|allow customer reviews|meta:)"
    r"|^(steuer(status|klasse)|ist hervorgehoben|lieferrückstände|geringer lagerbestand|kundenrezensionen)"
    r"|^variant (grams|weight unit|inventory|fulfillment|requires|tax)|^(google shopping /|seo (title|description)$)",
    re.I,
)
#: Headers that only WooCommerce's exports have, and what else they note.
_WOOCOMMERCE = re.compile(r"(visibility in catalog|sichtbarkeit im katalog)\??", re.I)
_OF_WOOCOMMERCE = re.compile(
    r"parent|position|shipping class|upsells|cross-sells|grouped products|external url|button text|download (limit|expiry days)"
    r"|übergeordnetes produkt|versandklasse|zusatzverkäufe|cross-sells.*|gruppierte produkte|externe url|button-text"
    r"|download-limit|ablauftage des downloads",
    re.I,
)
#: What a customer pays or wins, or what the shop pays or earns: the second, where the amounts are less than the prices.
_COSTS = re.compile(
    r"(unit )?(costs?|kosten|costes?|costos?|coûts?|custos?|costi|profits?|gewinn|ganancia|guadagno|winst|lucro)( unit\w+)?"
    r"( \(.{1,5}\)| .)?",
    re.I,
)
#: An amount, perhaps with a currency.
_AMOUNT = re.compile(r"\D{0,6}(\d[\d.,]*)\D{0,6}")


def of_shop(names: Sequence[str], below: Iterable[Sequence[str]], prices: Sequence[int]) -> frozenset[int]:
    """Which columns those are, by the header and by the rows below it; `prices`: columns of prices, by their names."""
    rows, is_woocommerce = list(below), any(map(_WOOCOMMERCE.fullmatch, names))
    private = {place for place, name in enumerate(names) if _PRIVATE.search(name)}
    private |= {place for place, name in enumerate(names) if is_woocommerce and _OF_WOOCOMMERCE.fullmatch(name)}
    costs = [place for place, name in enumerate(names) if _COSTS.fullmatch(name)]
    others = [price for price in prices if price not in (*costs, *private)]
    return frozenset(private.union(cost for cost in costs if any(_is_less(cost, price, rows) for price in others)))


def _is_less(cost: int, price: int, rows: list[Sequence[str]]) -> bool:
    """Whether one column's amounts are less than another's, in most rows that have both."""
    pairs = [(_amount(row[cost]), _amount(row[price])) for row in rows if max(cost, price) < len(row)]
    both = [(less, more) for less, more in pairs if less is not None and more is not None]
    return 2 * sum(less < more for less, more in both) > len(both)


def _amount(cell: str) -> float | None:
    """The amount in a cell, whichever sign stands before its cents; None, if there is none, or nothing to pay."""
    found = _AMOUNT.fullmatch(cell)
    if found is None:
        return None
    whole, _, cents = found[1].rstrip(".,").replace(",", ".").rpartition(".")
    digits = f"{whole.replace('.', '')}.{cents}" if whole and len(cents) < 3 else f"{whole}{cents}".replace(".", "")
    return float(digits) or None
