"""Where the level of one series shifts: E-divisive splits, each held to a t-test. Arrays in and out.

The split of a segment is where the energy distance of its two sides is largest (Matteson and James, "A nonparametric
approach for multiple change point analysis of multivariate data", JASA 2014). In one dimension that distance is twice
the integral of the squared difference of the two distribution functions (Székely and Rizzo, "Energy statistics",
JSPI 2013), which is summed here over a few dozen levels: a split costs n times the levels, and not n squared; what
lies beyond the outermost levels weighs no more than they do.

Whether a split counts is told by Welch's t-test in place of permutations, as in Hunter (Fleming, Kołaczkowski et al.,
"Hunter: using change point detection to hunt for performance regressions", ICPE 2023), with two corrections without
which noise would have shifts: hours that resemble their neighbours count as fewer, n (1 - r) / (1 + r) of them with r
their lag-one correlation (Bartlett 1935); and who may choose the best of m places has m chances (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from pipeline.analysis.significance import welch

Floats = NDArray[np.float64]
LEVELS = 32
WEAK = 0.05  # of a single place: above it, nothing is there even for who did not choose
MOST_ALIKE = 0.98  # of the lag-one correlation


class Series(Struct, frozen=True):
    """Values in their order, cut to the outermost levels, with how many up to each place are at most each level."""

    values: Floats
    running: Floats  # (n + 1) x levels
    weights: Floats  # of each level: the width up to the next

    def cut(self, places: Sequence[int]) -> list[tuple[int, int]]:
        """The levels between the places as [start, end), in order."""
        return list(pairwise([0, *places, len(self.values)]))


class Tried(Struct, frozen=True):
    """The best place to split [start, end), None where it is too short, and its p-value, which may be above 1 here."""

    place: int | None
    p_value: float
    distance: float  # of the two means


def series(values: Floats) -> Series:
    """Of finite values; levels are their quantiles."""
    levels = np.unique(np.quantile(values, (np.arange(LEVELS) + 0.5) / LEVELS)) if len(values) else np.zeros(1)
    below = (values[:, None] <= levels[None, :-1]).astype(np.float64)
    running = np.concatenate([np.zeros((1, below.shape[1])), below.cumsum(axis=0)])
    return Series(np.clip(values, levels[0], levels[-1]), running, np.diff(levels))


def shifts(of: Series, *, least: int, alpha: float, distance: float) -> tuple[list[Tried], int]:
    """(the shifts, how many places were tried), each level at least `least` values long.

    Segments are split as long as that could mean something, and what does not hold between its neighbours is taken
    out again: a short level in the middle shows only once both of its ends are there.
    """
    tried: list[Tried] = []
    _divide(of, 0, len(of.values), least, tried)
    places = sorted(t.place for t in tried if t.place is not None)
    return pruned(of, places, least=least, alpha=alpha, distance=distance), len(tried)


def _divide(of: Series, start: int, end: int, least: int, tried: list[Tried]) -> None:
    best = split(of, start, end, least)
    if best.place is None or best.p_value > WEAK * (end - start - 2 * least + 1):
        return
    tried.append(best)
    _divide(of, start, best.place, least, tried)
    _divide(of, best.place, end, least, tried)


def split(of: Series, start: int, end: int, least: int) -> Tried:
    """The best place in [start + least, end - least] to split a segment."""
    places = np.arange(start + least, end - least + 1)
    if not len(places):
        return Tried(None, 1.0, 0.0)
    left, right = (places - start).astype(np.float64), (end - places).astype(np.float64)
    counts = of.running[places]
    apart = (counts - of.running[start]) / left[:, None] - (of.running[end] - counts) / right[:, None]
    energy = 2 * (apart**2) @ of.weights * left * right / (left + right)
    place = int(places[int(np.argmax(energy))])
    return judged(of, start, place, end, len(places))


def judged(of: Series, start: int, place: int, end: int, chances: int) -> Tried:
    """The p-value of one place, had it been the best of so many."""
    sides = [of.values[start:place], of.values[place:end]]
    means = (float(sides[0].mean()), float(sides[1].mean()))
    rest = [side - mean for side, mean in zip(sides, means, strict=True)]
    alike = _alike(rest)
    effective = [len(side) * (1 - alike) / (1 + alike) for side in sides]
    variances = [float(r @ r) / max(1, len(r) - 1) for r in rest]
    _, p_value = welch(means, (variances[0], variances[1]), (effective[0], effective[1]))
    return Tried(place, p_value * chances, means[1] - means[0])


def pruned(of: Series, places: list[int], *, least: int, alpha: float, distance: float) -> list[Tried]:
    """The places as they stand between their neighbours, without the weakest until all hold: significant at `alpha`,
    their means `distance` apart or more. Neighbours were chosen, too: a place is one of all that the series has.
    """
    kept, chances = list(places), max(1, len(of.values) - 2 * least + 1)
    while kept:
        bounds = [0, *kept, len(of.values)]
        tried = [judged(of, bounds[i], place, bounds[i + 2], chances) for i, place in enumerate(kept)]
        weak = [t for t in tried if t.p_value > alpha or abs(t.distance) < distance]
        if not weak:
            return tried
        kept.remove(min(weak, key=lambda t: (-t.p_value, abs(t.distance))).place or 0)
    return []


def _alike(rest: list[Floats]) -> float:
    """The lag-one correlation within the sides, pooled; never below 0, so that no hour counts as more than one."""
    shared = sum(float(r[1:] @ r[:-1]) for r in rest)
    own = sum(float(r @ r) for r in rest)
    return min(MOST_ALIKE, max(0.0, shared / own)) if own > 0 else 0.0
