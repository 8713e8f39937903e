"""What a report is about: sites, a month or some days, a time zone and a policy, as the address says them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

import streamlit as st

from app import data
from app.components import address
from pipeline.analysis.policies import POLICIES
from pipeline.report.periods import last_month, months
from pipeline.report.sla import Wanted

ALL = "all sites"
SITE, TAG = "site:", "tag:"


def pick(now: datetime) -> Wanted:
    """Draw the pickers; what they and the address say. What is wrong in the address, who counts will say."""
    # What the address says is among the options, whether it exists or not: else a box could not show it.
    about, month, zone, policy = (address.said(name) for name in ("about", "month", "tz", "policy"))
    zone, policy = zone or "UTC", policy or "default"
    month = month or _usual(zone, now)
    about = about or ALL
    for name, value in {"about": about, "month": month, "tz": zone, "policy": policy}.items():
        address.show(name, value)
    with st.grid("auto", min_column_width=200, gap="small"):
        st.selectbox("Sites", _with(_abouts(), about), **address.widget("about"))
        st.selectbox("Month", _with(months(now), month), **address.widget("month"))
        _days(month, now)
        st.selectbox("Time zone", _with(sorted(available_timezones()), zone), **address.widget("tz"))
        st.selectbox("Policy", _with(list(POLICIES), policy), **address.widget("policy"))
    return wanted(about, month, zone, policy)


def _days(month: str, now: datetime) -> None:
    """Days instead of a month, from the first to the last; another month has another box, an empty one."""
    key = f"report-days-{month}"

    def picked() -> None:
        days = st.session_state[key]
        if len(days) == 2:
            address.go(month="/".join(f"{day:%Y-%m-%d}" for day in days))

    try:
        told = [date.fromisoformat(day) for day in month.split("/")] if "/" in month else []
    except ValueError:
        told = []
    known: list[Any] = told if len(told) == 2 and told[0] <= told[1] <= now.date() + timedelta(days=1) else []
    latest = now.date() + timedelta(days=1)  # somewhere it is tomorrow already
    st.date_input("Or days", known, max_value=latest, format="YYYY-MM-DD", key=key, on_change=picked)


def wanted(about: str, month: str, zone: str, policy: str) -> Wanted:
    site, tag = (about.removeprefix(kind) if about.startswith(kind) else "" for kind in (SITE, TAG))
    if not site and not tag and about != ALL:
        site = about  # somebody wrote a key
    return Wanted(site, tag, month, zone, policy)


def _usual(zone: str, now: datetime) -> str:
    """The last whole month, as a report is of; of a zone that there is not, that of UTC."""
    return last_month(zone if zone in available_timezones() else "UTC", now)


def _abouts() -> list[str]:
    return [ALL, *(f"{TAG}{tag}" for tag in sorted(data.tags())), *(f"{SITE}{key}" for key in data.site_keys())]


def _with(options: list[str], said: str) -> list[str]:
    return options if said in options else [said, *options]
