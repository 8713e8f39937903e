"""Which sites fail together, and what they share."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import data
from app.components import question_code
from app.components.charting import draw, titled
from app.components.words import plain
from app.data import Joint
from pipeline import charts
from pipeline.charts.palette import over_range

TOLD = 5
NAMES = 4  # of sites, in a sentence
ARTICLES = {
    "address": "the address", "network": "the network", "domain": "the domain", "region": "the region",
    "tag": "the tag", "issuer": "the certificate issuer",
}  # fmt: skip


def together(span: str) -> None:
    with st.skeleton(height=160):
        joint = data.failing_together(span)
    note = "sites that were down at the same times, half of the time that either was or more"
    titled("Failing together", note, name="together", frame=joint.groups, code=question_code.together(span))
    if joint.spans.is_empty():
        st.caption(f"◌ No site was down in the last {span}, as far as is known.")
        return
    if joint.groups.is_empty():
        down = joint.spans["site"].n_unique()
        st.caption(
            f"◌ {down} {'site was' if down == 1 else 'sites were'} down in the last {span}, each at its own times."
        )
        return
    for number in joint.groups["group"].unique().sort().to_list()[:TOLD]:
        st.markdown(_sentence(joint, number))
    left = joint.groups["group"].n_unique() - TOLD
    if left > 0:
        st.caption(f"{left} smaller groups are in the data.")
    chart = charts.together(joint.spans, joint.groups, over=over_range(joint.since, joint.until))
    draw(chart, key="together", alt_text=f"When the sites of {joint.groups['group'].n_unique()} groups were down.")
    if not joint.shared.is_empty():
        shown = question_code.together(span, shared=True)
        titled("What they share", "by group; fewer others have it", name="shared", frame=joint.shared, code=shown)
        st.dataframe(joint.shared.select("group", "attribute", "value", "sites", "of", "others"), hide_index=True)


def _sentence(joint: Joint, number: int) -> str:
    sites = joint.groups.filter(group=number)["site"].cast(pl.String).to_list()
    named = ", ".join(f"**{plain(site)}**" for site in sites[:NAMES])
    more = f" and {len(sites) - NAMES} more" if len(sites) > NAMES else ""
    first = joint.shared.filter((pl.col("group") == number) & (pl.col("sites") == pl.col("of"))).head(1).to_dicts()
    if not first:
        return f"{number} · {named}{more} :gray[· nothing in common that is known here]"
    what = ARTICLES.get(first[0]["attribute"], first[0]["attribute"])
    others = first[0]["others"]
    also = (
        ", and no other does"
        if not others
        else ", and so does 1 other"
        if others == 1
        else f", and so do {others} others"
    )
    return f"{number} · {named}{more} :gray[· all share {what}] {plain(first[0]['value'])}:gray[{also}]"
