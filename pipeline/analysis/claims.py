"""What checks may claim, and how it is written: never 100 % by rounding, never more digits than they carry."""

from __future__ import annotations

from math import ceil

import polars as pl

Z = 1.96  # 95 %, two-sided
CLAIM = 0.999
FEW = 100  # checks: below, a percentage of them says more than they do
NOTHING = "\N{EN DASH}"  # stands where there is no value


def checks_for(share: float) -> int:
    """Checks, none of them failed, that it takes to claim an uptime of `share` < 1 at 95 %: 3 838 for 99.9 %.

    The lower end of the Wilson interval without failures is n / (n + z²), so n = z² share / (1 - share). The "rule of
    three", one-sided, asks for some fewer: 3 / (1 - share). (Wilson, "Probable inference", JASA 1927; Hanley and
    Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 1983.)
    """
    return ceil(Z**2 * share / (1 - share))


def at_least(checks: int) -> float | None:
    """The uptime that `checks` without a failure show at 95 %: n / (n + z²); None without checks, for nobody knows."""
    return checks / (checks + Z**2) if checks else None


def at_least_of(checks: pl.Expr, *, failed: pl.Expr) -> pl.Expr:
    """`at_least` of a column of checks; null where some failed."""
    counted = checks.cast(pl.Float64)
    return pl.when(~failed & (counted > 0)).then(counted / (counted + Z**2))


def percent(share: float | None, digits: int = 2) -> str:
    """A share as per cent, cut and not rounded, so that 100 means all."""
    if share is None:
        return NOTHING
    scale = 10**digits
    return f"{int(share * 100 * scale + 1e-9) / scale:.{digits}f} %" if share < 1 else "100 %"


def shown(uptime: float | None, checks: int | None) -> str:
    """The uptime that may be claimed, with as many digits as its checks carry: `99.95 %`, `≥ 99.974 %`, `no failure`.

    Never 100 %, since checks without a failure only show "at least"; of a few checks not even that is worth a number.
    Where nobody counted the checks (None) there is no such bound: `no failure seen`.
    """
    if uptime is None:
        return NOTHING
    if uptime < 1:
        return percent(uptime, 3 if checks is None else sum(checks >= many for many in (FEW, 10 * FEW, 100 * FEW)))
    if checks is None:
        return "no failure seen"
    bound = at_least(checks)
    if bound is None:
        return NOTHING
    return f"≥ {percent(bound, 3 if bound > CLAIM else 2)}" if checks >= FEW else "no failure"
