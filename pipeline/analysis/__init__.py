"""The questions, as pure functions: frames in, frames out, no store, no clock.

    from pipeline import analysis
    analysis.uptime(spans, by=["site"])

A function is loaded with the first use of its name. None lives in a module of its own name: whoever imports that
module would put it where the function is looked for. Whoever adds a function adds it here three times; a test
compares.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.analysis.accounts import quantiles, uptime
    from pipeline.analysis.apdexes import apdex
    from pipeline.analysis.boxes import Box, explain
    from pipeline.analysis.budgets import budget_left, slo
    from pipeline.analysis.burning import burn
    from pipeline.analysis.change_points import changes
    from pipeline.analysis.claims import at_least, checks_for, percent, shown
    from pipeline.analysis.comparisons import compare
    from pipeline.analysis.cuts import cut_by
    from pipeline.analysis.exactness import exact
    from pipeline.analysis.forecasts import forecast
    from pipeline.analysis.hours import BusinessHours, Weights, read_weights
    from pipeline.analysis.joint_failures import facts_of, shared, together
    from pipeline.analysis.outliers import anomalies
    from pipeline.analysis.policies import POLICIES, Policy
    from pipeline.analysis.policy_accounts import account, by_policy
    from pipeline.analysis.repairs import outages, reliability
    from pipeline.analysis.resampling import interval
    from pipeline.analysis.units import History
    from pipeline.analysis.waterfalls import waterfall

# Each public name with the module that it lives in.
_HOMES = {
    "Box": "boxes",
    "BusinessHours": "hours",
    "History": "units",
    "POLICIES": "policies",
    "Policy": "policies",
    "Weights": "hours",
    "account": "policy_accounts",
    "anomalies": "outliers",
    "apdex": "apdexes",
    "at_least": "claims",
    "budget_left": "budgets",
    "burn": "burning",
    "by_policy": "policy_accounts",
    "changes": "change_points",
    "checks_for": "claims",
    "compare": "comparisons",
    "cut_by": "cuts",
    "exact": "exactness",
    "explain": "boxes",
    "facts_of": "joint_failures",
    "forecast": "forecasts",
    "interval": "resampling",
    "outages": "repairs",
    "percent": "claims",
    "quantiles": "accounts",
    "read_weights": "hours",
    "reliability": "repairs",
    "shared": "joint_failures",
    "shown": "claims",
    "slo": "budgets",
    "together": "joint_failures",
    "uptime": "accounts",
    "waterfall": "waterfalls",
}

__all__ = [
    "POLICIES",
    "Box",
    "BusinessHours",
    "History",
    "Policy",
    "Weights",
    "account",
    "anomalies",
    "apdex",
    "at_least",
    "budget_left",
    "burn",
    "by_policy",
    "changes",
    "checks_for",
    "compare",
    "cut_by",
    "exact",
    "explain",
    "facts_of",
    "forecast",
    "interval",
    "outages",
    "percent",
    "quantiles",
    "read_weights",
    "reliability",
    "shared",
    "shown",
    "slo",
    "together",
    "uptime",
    "waterfall",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
