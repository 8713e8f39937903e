"""An objective: what of its budget is left, how that came, where it leads, and how fast it burns."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import streamlit as st

from app.components import code, objective_dialogs
from app.components.charting import draw, titled
from app.components.words import NOTHING, plain
from pipeline import charts
from pipeline.analysis.burning import RULES, Burning, Rule
from pipeline.analysis.claims import percent, shown
from pipeline.charts.states import lasting
from pipeline.objectives import Objective
from pipeline.store.budgets import Budgeted

BADGES = {
    Burning.CALM: ":green-badge[● calm]",
    Burning.TICKET: ":orange-badge[▲ burns: ticket]",
    Burning.PAGE: ":red-badge[✕ burns: page]",
}


def objective_card(
    objective: Objective, found: Budgeted, burning: str | None, now: datetime, rates: pl.DataFrame | None = None
) -> None:
    """`rates`, frame BURN, are drawn of the one that somebody looks at."""
    key = objective.key
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{plain(objective.name)}** &ensp;:gray[{plain(key)}]", width="stretch")
            st.markdown(_badge(found, burning), width="content")
            st.button("Edit", key=f"edit-{key}", on_click=objective_dialogs.open_edit, args=(key,), type="tertiary")
            st.button(
                "Remove …", key=f"remove-{key}", on_click=objective_dialogs.open_delete, args=(key,), type="tertiary"
            )
        st.caption(plain(f"{objective.promise} · {objective.about}{_sites(objective)}"))
        if not objective.sites:
            st.markdown(_nothing_to_judge(objective))
            return
        _figures(found)
        _budget(objective, found, now)
        if rates is not None and rates["long_rate"].count():
            _rates(objective, rates)


def _sites(objective: Objective) -> str:
    if objective.tag is None:
        return ""
    return f" · mean of {len(objective.sites)} {'site' if len(objective.sites) == 1 else 'sites'}"


def _badge(found: Budgeted, burning: str | None) -> str:
    """Whether it burns, and before that whether there is anything left to burn."""
    left = found.slo["left"]
    if left is None:
        return ":gray-badge[◌ nothing known]"
    spent = "" if left > 0 else ":red-badge[✕ budget gone] "
    return spent + BADGES[Burning(burning or Burning.CALM)]


def _figures(found: Budgeted) -> None:
    row = found.slo
    with st.grid("auto", min_column_width=150, gap="small"):
        _fact("Budget left", percent(row["left"], 1), _left(row["left_s"]))
        between = f"{lasting(row['spent_low_s'])} to {lasting(row['spent_high_s'])}" if row["spent_s"] else ""
        _fact("Spent", NOTHING if row["spent_s"] is None else lasting(row["spent_s"]), between)
        _fact("Of a budget of", lasting(row["budget_s"]))
        _fact("Uptime", shown(row["uptime"], None), f"coverage {percent(row['coverage'])}")
        _fact("Gone before the end", *_chance(found))


def _chance(found: Budgeted) -> tuple[str, str]:
    if found.slo["left"] is not None and found.slo["left"] <= 0:
        return "already", ""
    if found.forecast.is_empty():
        return NOTHING, "needs a week of days that are known"
    chance = found.forecast["gone"][-1]
    said = "< 1 %" if 0 < chance < 0.01 else "> 99 %" if 0.99 < chance < 1 else f"{chance:.0%}".replace("%", " %")
    return said, f"by {found.forecast['at'][-1]:%d %b}, if days go on like these"


def _left(left_s: float | None) -> str:
    if left_s is None:
        return ""
    return lasting(left_s) if left_s >= 0 else f"{lasting(-left_s)} too many"


def _budget(objective: Objective, found: Budgeted, now: datetime) -> None:
    if found.left.is_empty():
        st.caption(
            "◌ Nothing is known of this window. The first hours of its sites appear within a minute after they were "
            "checked; a site that is paused, or that nobody checks, has nothing to show."
        )
        return
    note = "share left at each time; the cone: 90 % of what days like the last ones would lead to"
    name = f"budget-{objective.key}"
    titled("Error budget", note, name=name, frame=found.left, code=code.budget(objective.key))
    said = f"Budget of {objective.name} left up to {now:%d %b %H:%M} UTC: {percent(found.slo['left'], 1)}."
    draw(charts.budget(found.left, found.forecast), key=name, alt_text=said)


def _rates(objective: Objective, rates: pl.DataFrame) -> None:
    with st.grid("auto", min_column_width=320):
        for rule in RULES:
            with st.container(gap="small"):
                _rule(objective, rates, rule)


def _rule(objective: Objective, rates: pl.DataFrame, rule: Rule) -> None:
    name = f"burn-{objective.key}-{rule.factor:g}"
    over = f"{lasting(rule.long.total_seconds())} and, dashed, {lasting(rule.short.total_seconds())}"
    titled(
        f"{rule.severity.value.capitalize()} above {rule.factor:g}x",
        over,
        name=name,
        frame=rates.filter(rates["factor"] == rule.factor),
        code=code.burn(objective.key, rule.factor),
    )
    highest = 1 / (1 - objective.target)
    if highest <= rule.factor:
        st.caption(f"◌ Cannot fire: with all of the time bad, this budget burns at {highest:.3g}x.")
    draw(
        charts.burn(rates, rule.factor),
        key=name,
        alt_text=f"Burn rates of {objective.name} over {over}, with the rule at {rule.factor:g}.",
    )


def _nothing_to_judge(objective: Objective) -> str:
    if objective.tag is not None:
        return (
            f"**No site has the tag {plain(objective.tag)}.** Give it to one on the page Sites, or edit the objective."
        )
    return "**Its site was deleted.** Edit the objective to be about another one, or remove it."


def _fact(label: str, value: str, note: str = "") -> None:
    with st.container(gap=None):
        st.caption(label)
        st.markdown(f"**{value}**" + (f" &ensp;:gray[:small[{note}]]" if note else ""))
