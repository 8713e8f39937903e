"""How surprising a difference is, and how honest that stays when many are looked at. Floats in, p-values out.

Only what the questions need, in the standard library's arithmetic: a library for it would be the largest that we have.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, exp, lgamma, log, log1p, sqrt

FEW = 5.0  # an expected count below it: the G-test's distribution is not to be relied on (Cochran 1954)
_STEPS = 300  # of the continued fraction; it takes some sqrt(n) of them, and stops by itself
_TINY = 1e-300


def normal_p(z: float) -> float:
    """The two-sided p-value of a standard normal z."""
    return erfc(abs(z) / sqrt(2))


def student_p(t: float, freedom: float) -> float:
    """The two-sided p-value of Student's t: I_x(f/2, 1/2) with x = f / (f + t²).

    (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.1 and 26.5.27.)
    """
    if freedom > 1e6:
        return normal_p(t)
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def welch(mean: tuple[float, float], variance: tuple[float, float], count: tuple[float, float]) -> tuple[float, float]:
    """(t, p-value) of the difference of two means whose variances differ.

    Counts may be effective ones, no whole numbers. (Welch, "The generalization of 'Student's' problem when several
    different population variances are involved", Biometrika 1947.)
    """
    if min(count) <= 1:
        return 0.0, 1.0
    errors = [v / n for v, n in zip(variance, count, strict=True)]
    total = sum(errors)
    if total <= 0:
        return (0.0, 1.0) if mean[0] == mean[1] else (float("inf"), 0.0)
    freedom = total**2 / sum(e**2 / (n - 1) for e, n in zip(errors, count, strict=True))
    t = (mean[1] - mean[0]) / sqrt(total)
    return t, student_p(t, freedom)


def proportions(inside: int, of_inside: int, outside: int, of_outside: int) -> tuple[float, str]:
    """(two-sided p-value, test) of the same share inside and outside.

    The G-test, or Fisher's exact test where a count is expected to be below 5. (Sokal and Rohlf, Biometry, 1981.)
    """
    having, whole = inside + outside, of_inside + of_outside
    if not (0 < having < whole and of_inside and of_outside):
        return 1.0, "none"
    least = min(having, whole - having) * min(of_inside, of_outside) / whole
    if least < FEW:
        return _fisher(inside, of_inside, having, whole), "Fisher"
    table = ((inside, outside), (of_inside - inside, of_outside - outside))
    sums = (having, whole - having), (of_inside, of_outside)
    g = 2 * sum(
        seen * log(seen * whole / (row * column))
        for line, row in zip(table, sums[0], strict=True)
        for seen, column in zip(line, sums[1], strict=True)
        if seen
    )
    return normal_p(sqrt(max(0.0, g))), "G"  # chi-squared of one degree of freedom is a normal z squared


def adjusted(p_values: Sequence[float], tests: int | None = None) -> list[float]:
    """The p-values as they are after Benjamini and Hochberg, in their order: what stays below a level keeps the share
    of false ones among them below it.

    `tests`: of how many they are the smallest; those that are not there count as 1. ("Controlling the false discovery
    rate", JRSS B 1995.)
    """
    many = max(len(p_values), tests or 0)
    found, least = [1.0] * len(p_values), 1.0
    for rank, place in sorted(enumerate(sorted(range(len(p_values)), key=p_values.__getitem__), 1), reverse=True):
        least = min(least, p_values[place] * many / rank)
        found[place] = least
    return found


def _fisher(inside: int, of_inside: int, having: int, whole: int) -> float:
    """The share of all tables with these margins that are no more likely than this one."""

    def chance(k: int) -> float:
        return _choose(having, k) + _choose(whole - having, of_inside - k) - _choose(whole, of_inside)

    low, high = max(0, of_inside - (whole - having)), min(having, of_inside)
    bar = chance(inside) + 1e-7
    return min(1.0, sum(exp(c) for k in range(low, high + 1) if (c := chance(k)) <= bar))


def _choose(n: int, k: int) -> float:
    """The logarithm of n over k."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            fraction *= d * c
        if abs(d * c - 1) < 1e-12:
            break
    return min(1.0, front * fraction)


def _away(value: float) -> float:
    """Away from zero, by which is divided."""
    return value if abs(value) > _TINY else _TINY
