"""What was understood, before anything is added: counts, the sites as a table, and the lines that need a look."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.components.words import NOTHING, every, grouped, plain, verbatim
from pipeline.errors import Problem
from pipeline.naming import name_of
from pipeline.understood import Entry, Form, Present, Understood

PROBLEMS_SHOWN = 8
PROBLEMS_LISTED = 500  # the rest of them, where somebody asks
LONGEST = 80  # characters of a line that is cited
COLUMNS = ("", "Line", "URL", "Name", "Checked", "Tags", "From", "Key")
WIDTHS = {"": 92, "Line": 48, "URL": 230, "Name": 120, "Checked": 118, "Tags": 80, "From": 80, "Key": 120}
NAMES = {
    Form.NOTHING: "This",
    Form.URLS: "A list of URLs",
    Form.TABLE: "A table",
    Form.DECLARED: "A declared file",
    Form.SITEMAP_URL: "The address of a sitemap",
    Form.SITEMAP: "A sitemap",
}


def preview(understood: Understood) -> None:
    """Nothing for nothing; else what adding it would do."""
    if understood.form is Form.NOTHING and not understood.problems:
        return
    regions = [f":green[●] region **{plain(region.key)}** :gray[is added with them]" for region in understood.regions]
    lines = _problems(understood.problems)
    st.markdown("  \n".join([summary(understood), *lines[:PROBLEMS_SHOWN], *regions]))
    if more := lines[PROBLEMS_SHOWN:]:
        few = len(more) < 10
        place = st.expander(f"{grouped(len(more))} more that are not usable")
        (place if few else place.container(height=260, border=False)).markdown("  \n".join(more))
    _table(understood)
    for note in _notes(understood):
        st.caption(plain(note))


def summary(understood: Understood) -> str:
    """What it is, and how many of it are what."""
    counts = [f":{'green' if understood.new else 'gray'}[●] **{grouped(len(understood.new))}** new"]
    if understood.present:
        counts.append(f":gray[◌] **{grouped(len(understood.present))}** there already")
    if understood.problems:
        counts.append(f":red[✕] **{grouped(len(understood.problems))}** not usable")
    return f"{NAMES[understood.form]}: &ensp;" + " &ensp; ".join(counts)


def _problems(problems: list[Problem]) -> list[str]:
    lines = [f":red[✕] {_where(problem)}{_said(problem)}" for problem in problems[:PROBLEMS_LISTED]]
    if len(problems) > PROBLEMS_LISTED:
        lines.append(f":gray[… and {grouped(len(problems) - PROBLEMS_LISTED)} more like these]")
    return lines


def _where(problem: Problem) -> str:
    line = f"line {problem.line} " if problem.line else ""
    return line + (f"{verbatim(problem.field[:LONGEST])} " if problem.field not in ("", "file") else "")


def _said(problem: Problem) -> str:
    return f":gray[{plain(problem.message)}]"


def _notes(understood: Understood) -> list[str]:
    notes = [f"{note[:1].upper()}{note[1:]}." for note in understood.notes]
    if understood.form is Form.DECLARED and understood.present:
        notes.append("What is watched already stays as it is; betterstack apply FILE brings it to what the file says.")
    return notes


def _table(understood: Understood) -> None:
    rows = sorted([*map(_new, understood.new), *map(_present, understood.present)], key=lambda row: row["Line"])
    if not rows:
        return
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    boring = {name for name in ("Tags", "From") if not any(columns[name])}
    if all(entry.site.name == name_of(entry.site.url) for entry in understood.new):
        boring.add("Name")
    if understood.form is Form.SITEMAP:
        boring.add("Line")
    st.dataframe(
        {name: values for name, values in columns.items() if name not in boring},
        hide_index=True,
        placeholder=NOTHING,
        column_config={name: st.column_config.Column(width=width) for name, width in WIDTHS.items()},
        alt="The sites that were understood, a row each",
    )


def _new(entry: Entry) -> dict[str, Any]:
    site = entry.site
    words = {"Tags": ", ".join(site.tags), "From": ", ".join(site.regions or ())}
    known = {"Line": entry.line, "": "● new", "URL": site.url, "Name": site.name, "Key": site.key}
    return known | words | {"Checked": "paused" if site.paused else every(site.interval_s)}


def _present(present: Present) -> dict[str, Any]:
    state = "◌ watched" if present.key else "◌ repeats"
    return {"Line": present.line, "": state, "URL": present.url, "Key": present.key or None}
