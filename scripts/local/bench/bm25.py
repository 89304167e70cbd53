"""BM25 as Elasticsearch counts it, to compare with: two fields (title twice, content), stems, k1 1.2, b 0.75."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from scripts.local.bench.question_set import Base
from shared import db

K1, B, BEST = 1.2, 0.75, 5
_STEMS = """
    select array(select (ts_lexize(knowledge_stemmer(%(language)s), word))[1]
                 from knowledge_words(text), generate_series(1, count)) as stems
    from unnest(%(texts)s::text[]) with ordinality as given (text, place) order by place
"""

Postings = Mapping[str, Mapping[str, float]]


class TwoFields:
    """An index of one base's documents."""

    def __init__(self, base: Base) -> None:
        known = db.scalar("select knowledge_language_is_known(%s)", [base.language])
        self._language, ids = base.language if known else "simple", list(base.documents)
        fields = [
            (boost, dict(zip(ids, self._stems([base.documents[document][place] for document in ids]), strict=True)))
            for place, boost in ((0, 2.0), (1, 1.0))
        ]
        self._fields = [(boost, _weights(texts)) for boost, texts in fields]

    def _stems(self, texts: list[str]) -> list[list[str]]:
        rows = db.rows(_STEMS, {"language": self._language, "texts": texts})
        return [[stem for stem in row["stems"] if stem] for row in rows]

    def best(self, question: str) -> list[str]:
        """The ids of its five best documents."""
        scores: dict[str, float] = defaultdict(float)
        [stems] = self._stems([question])
        for boost, postings in self._fields:
            for stem in set(stems):
                for document, weight in postings.get(stem, {}).items():
                    scores[document] += boost * weight
        return sorted(scores, key=lambda document: -scores[document])[:BEST]


def _weights(texts: Mapping[str, list[str]]) -> Postings:
    usual = sum(map(len, texts.values())) / max(1, len(texts)) or 1
    postings: dict[str, dict[str, float]] = defaultdict(dict)
    for document, stems in texts.items():
        for stem, count in Counter(stems).items():
            postings[stem][document] = count * (K1 + 1) / (count + K1 * (1 - B + B * len(stems) / usual))
    rarity = {stem: math.log(1 + (len(texts) - len(hits) + 0.5) / (len(hits) + 0.5)) for stem, hits in postings.items()}
    return {stem: {document: weight * rarity[stem] for document, weight in hits.items()} for stem, hits in postings.items()}
