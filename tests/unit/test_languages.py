"""Which language a piece of knowledge is in."""

from __future__ import annotations

import pytest

from shared.teaching.languages import LANGUAGES, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Shipping\nWe ship within two working days.", "english"),
        ("Versand\nWir versenden innerhalb von zwei Werktagen nach ganz Österreich.", "german"),
        ("Envios\nEnviamos em dois dias úteis para todo o país.", "portuguese"),
        ("Envíos\nEnviamos los pedidos en un plazo de dos días laborables.", "spanish"),
        ("Livraison\nNous livrons sous deux jours ouvrés dans toute la France.", "french"),
        ("Spedizione\nSpediamo entro due giorni lavorativi in tutta Italia.", "italian"),
        ("Verzending\nWij verzenden binnen twee werkdagen door heel Nederland.", "dutch"),
        ("Frakt\nVi skickar din beställning inom två arbetsdagar.", "swedish"),
        ("Доставка\nМы отправляем заказы в течение двух рабочих дней.", "russian"),
        ("Kargo\nSiparişinizi iki iş günü içinde gönderiyoruz.", "turkish"),
        # No stemmer of PostgreSQL's knows these: their words stay as they are.
        ("Wysyłka\nWysyłamy w ciągu dwóch dni roboczych do całej Polski.", "simple"),
        ("配送\n当社は二営業日以内に発送します。", "simple"),
        # Too little to tell: the base's.
        ("Ja", "german"),
        ("WLAN: TeaHouse-Guest / 1234", "german"),
        ("https://shop.example/a 12345", "german"),
        ("", "german"),
    ],
)
def test_a_text_has_its_language_and_a_short_one_that_of_its_base(text: str, language: str) -> None:
    assert language_of(text, otherwise="german") == language
    assert language in LANGUAGES
