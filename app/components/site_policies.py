"""A site's uptime over its window as others would count it: ours with what it rests on, nine policies, and why."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import address, code
from app.components.boundary import live
from app.components.charting import draw, titled
from app.components.words import NOTHING, grouped, plain
from app.windows import Window
from pipeline import charts
from pipeline.analysis.claims import percent, shown
from pipeline.analysis.policies import DEFAULT, POLICIES
from pipeline.charts.states import lasting
from pipeline.charts.waterfalls import described_in_words
from pipeline.store.overview import SiteRow

USUAL = "kuma"  # the monitor that most people come from


def policies(row: SiteRow, window: Window, seen_from: tuple[str, ...]) -> None:
    """All of it is of the window; one that follows now is counted anew once a minute."""
    (_seldom if window.lives else _policies)(row, window, seen_from)


def _policies(row: SiteRow, window: Window, seen_from: tuple[str, ...]) -> None:
    with st.skeleton(height=420):  # seen only where the store takes its time
        ours = data.own_account(row.key, window, seen_from)
        accounts = data.accounts(row.key, window, seen_from)
    with st.container(key="policies", gap="small"):
        titled(
            "Uptime, as others count it",
            f"of the window, {', '.join(seen_from) or 'all regions'}",
            name=f"{row.key}-policies",
            frame=accounts,
            code=code.policies(row.key, window, seen_from),
        )
        told = {each["policy"]: each for each in accounts.iter_rows(named=True)}
        if ours is None or DEFAULT.name not in told or told[DEFAULT.name]["uptime"] is None:
            st.caption("◌ Nothing is known of this time, so nobody has anything to count.")
            return
        _ours(ours, told[DEFAULT.name])
        _others(row, window, seen_from, told)


_seldom = live(60)(_policies)


def _ours(ours: dict[str, Any], account: dict[str, Any]) -> None:
    """The default's number and what is known about it."""
    low, high = percent(ours["low"]), percent(ours["high"])
    least = low.removesuffix(" %")
    with st.grid(4, min_column_width=160, gap="small"):
        _fact("Ours", shown(account["uptime"], account["checks"]), f"{grouped(account['checks'])} checks")
        _fact("Known", percent(ours["coverage"]), "of the time that was called for")
        if low == high:
            _fact("Bounds", low, "no unknown time widens them")
        else:
            _fact("Bounds", f"{least} \N{EN DASH} {high}", "if the unknown was down, or up")
        _fact("Down", *_down(ours))


def _down(ours: dict[str, Any]) -> tuple[str, str]:
    """How long it was down, and between what that lies: an outage begins and ends between two checks."""
    down, least, most = ours["down_s"], ours["down_least_s"], ours["down_most_s"]
    if not down:
        return "none seen", "shorter than the interval can be missed"
    return lasting(down), f"between {lasting(least or 0)} and {lasting(max(most or 0, down))}, by the checks around it"


def _fact(name: str, value: str, note: str) -> None:
    with st.container(border=True, gap=None):
        st.caption(name)
        st.markdown(f"#### {value}")
        st.caption(note)


def _others(row: SiteRow, window: Window, seen_from: tuple[str, ...], told: dict[str, dict[str, Any]]) -> None:
    picked = address.one("policy", list(POLICIES), usual=USUAL)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        with st.container(key="pick-policy", width=260):
            st.selectbox("Counted as", list(POLICIES), **address.widget("policy"))
        policy, account = POLICIES[picked], told[picked]
        st.markdown(f"**{claim(account)}** as {plain(picked)} counts &ensp;:gray[{plain(policy.about)}]")
        st.caption(f"Source: {plain(policy.source)}")
        if picked == DEFAULT.name:
            st.caption("◌ This is our own. Pick another to see why it differs.")
        else:
            _steps(row, window, seen_from, picked)
    with right:
        _table(told, picked)


def claim(account: dict[str, Any]) -> str:
    """The uptime that an account may claim."""
    return shown(account["uptime"], account["checks"])


def _steps(row: SiteRow, window: Window, seen_from: tuple[str, ...], picked: str) -> None:
    frame = data.policy_waterfall(row.key, window, picked, seen_from)
    shown_code = code.waterfall(row.key, window, picked, seen_from)
    titled(
        f"From ours to {plain(picked)}",
        "what each choice takes away or adds",
        name=f"{row.key}-waterfall",
        frame=frame,
        code=shown_code,
    )
    if frame["uptime"].count() == 0:
        st.caption("◌ This policy has nothing to count in this time.")
        return
    chart = charts.policy_waterfall(frame)
    draw(chart, key="policy-waterfall", alt_text=described_in_words(frame))


def _table(told: dict[str, dict[str, Any]], picked: str) -> None:
    """All policies beside each other, the picked one marked."""
    rows = [
        {
            "Policy": f"{'▸ ' if name == picked else ''}{name}",
            "Uptime": claim(each),
            "Down": NOTHING if each["uptime"] is None else lasting(each["down_s"]),
            "Known": percent(each["coverage"], 1),
        }
        for name, each in told.items()
    ]
    config = st.column_config
    st.dataframe(
        rows,
        key="policy-table",
        hide_index=True,
        height="content",
        alt="The uptime of the window as each policy counts it.",
        column_config={
            "Policy": config.TextColumn("Policy", width=140),
            "Uptime": config.TextColumn("Uptime", width=84, alignment="right"),
            "Down": config.TextColumn("Down", width=76, alignment="right", help="Its downtime, as time."),
            "Known": config.TextColumn("Known", width=66, alignment="right"),
        },
    )
