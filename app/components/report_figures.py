"""What a report says: the uptime with its bounds, what was promised, the days, the outages, the sites."""

from __future__ import annotations

import streamlit as st

from app.components import report_code
from app.components.charting import draw, titled
from app.components.words import NOTHING, grouped, plain
from pipeline import charts
from pipeline.analysis.claims import percent, shown
from pipeline.analysis.resampling import Interval
from pipeline.charts.states import lasting
from pipeline.report.figures import Figures
from pipeline.report.sla import Wanted

MOST_DRAWN = 12  # rows of days; the worst sites


def figures(found: Figures, wanted: Wanted) -> None:
    if found.total["uptime"] is None:
        st.caption("◌ Nothing is known of this time: nothing was checked, or all of it was maintenance or a pause.")
        return
    _facts(found)
    _promises(found)
    _days(found, wanted)
    _outages(found, wanted)
    if len(found.keys) > 1:
        _sites(found, wanted)


def _facts(found: Figures) -> None:
    total, down = found.total, found.outages
    least, most = (sum(down[name].to_list()) for name in ("down_least_s", "down_most_s"))
    repair, low, high = found.reliability["mttr_s"], percent(total["low"]), percent(total["high"])
    sure = total["low"] == total["high"]
    with st.grid("auto", min_column_width=170, gap="small"):
        _fact("Uptime", shown(total["uptime"], total["checks"] or None), found.policy.name)
        _fact("Coverage", percent(total["coverage"]), f"of {grouped(total['checks'])} checks")
        _fact(
            "Bounds",
            NOTHING if sure else f"{low} to {high}",
            "nothing is unknown" if sure else "unknown as down, as up",
        )
        _fact("Down", lasting(total["down_s"]))
        _fact(
            "Outages", str(down.height), f"{lasting(least)} to {lasting(most)} down, by the vote" if down.height else ""
        )
        _fact("Repaired in", NOTHING if repair is None else lasting(repair), "on average" if repair is not None else "")
        _fact("95 % of such times", *_likely(found.interval))


def _likely(sure: Interval) -> tuple[str, str]:
    """How far another such time could differ, and what that rests on."""
    if sure.low is None or sure.high is None:
        return NOTHING, "needs a week of days"
    if sure.high < 1:
        return f"{percent(sure.low)} to {percent(sure.high)}", f"{sure.days} days"
    return f"≥ {percent(sure.low)}", f"{sure.days} days"


def _promises(found: Figures) -> None:
    for row in found.promised.iter_rows(named=True):
        kept = row["verdict"].startswith("kept")
        sign = ":green[●]" if kept else ":red[✕]" if row["verdict"].startswith("missed") else ":gray[◌]"
        st.markdown(
            f"{sign} **{plain(row['name'])}** promises {percent(row['target'], 3)}: {row['verdict']}. "
            f"Down {lasting(row['spent_s'])} of {lasting(row['budget_s'])} that may be."
        )


def _days(found: Figures, wanted: Wanted) -> None:
    worst = found.sites.sort("uptime", nulls_last=True).head(MOST_DRAWN)["site"].to_list()
    drawn = found.held.filter(found.held["region"].is_in(worst))
    more = f"; the worst {MOST_DRAWN} of {len(found.keys)} sites" if len(found.keys) > MOST_DRAWN else ""
    note = f"time by state in each day of {found.period.tz}{more}"
    titled("Days", note, name=f"{wanted.file_name}-days", frame=found.held, code=report_code.days(wanted))
    said = f"Time by state and day of {wanted.about}, {found.period.label}."
    draw(charts.shares(drawn), key="report-days", alt_text=said)


def _outages(found: Figures, wanted: Wanted) -> None:
    note = "from the first confirmed failure, by the vote of the regions, to the first answer; UTC"
    code = report_code.outages(wanted)
    titled("Downtime", note, name=f"{wanted.file_name}-outages", frame=found.outages, code=code)
    if found.outages.is_empty():
        st.caption("● No outage was seen. What is shorter than the interval of the checks can be missed.")
        return
    rows = [
        {
            "site": row["site"],
            "from": f"{row['since']:%d %b %H:%M:%S}",
            "to": f"{row['until']:%d %b %H:%M:%S}" if row["until"] else "goes on",
            "down": lasting(row["down_s"]),
            "at least": lasting(row["down_least_s"]),
            "at most": lasting(row["down_most_s"]),
        }
        for row in found.outages.sort("since", descending=True).iter_rows(named=True)
    ]
    st.dataframe(rows, hide_index=True, width="stretch", key="report-outages")


def _sites(found: Figures, wanted: Wanted) -> None:
    code = report_code.sites(wanted)
    note = "each with what is known of it"
    titled("Sites", note, name=f"{wanted.file_name}-sites", frame=found.sites, code=code)
    rows = [
        {
            "site": row["site"],
            "uptime": shown(row["uptime"], row["checks"] or None),
            "at worst": percent(row["low"], 3),
            "at best": percent(row["high"], 3),
            "known": percent(row["coverage"]),
            "down": lasting(row["down_s"]),
            "checks": row["checks"],
        }
        for row in found.sites.sort("uptime", nulls_last=True).iter_rows(named=True)
    ]
    st.dataframe(rows, hide_index=True, width="stretch", key="report-sites")


def _fact(label: str, value: str, note: str = "") -> None:
    with st.container(gap=None):
        st.caption(label)
        st.markdown(f"**{value}**" + (f" &ensp;:gray[:small[{note}]]" if note else ""))
