"""Arithmetic of vectors, and how pgvector reads one."""

from __future__ import annotations

import math

Vector = list[float]


def sum_of(vector: Vector, other: Vector, weight: float) -> Vector:
    """Both directions in one vector of length 1. Of vectors of different lengths, the first."""
    if len(vector) != len(other):
        return vector
    return unit([one + weight * two for one, two in zip(vector, other, strict=True)])


def as_literal(vector: Vector) -> str:
    """As pgvector reads it. Its halfvec keeps three to four digits."""
    return "[" + ",".join(f"{number:.5g}" for number in vector) + "]"


def unit(vector: Vector) -> Vector:
    """The same direction in length 1. Raises ValueError for one that has none."""
    length = math.sqrt(sum(number * number for number in vector))
    if not (math.isfinite(length) and length):
        raise ValueError("a vector without a direction")
    return [number / length for number in vector]
