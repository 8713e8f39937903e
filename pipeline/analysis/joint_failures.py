"""Who fails together, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.analysis.significance import adjusted, proportions
from pipeline.answers import SHARED, TOGETHER
from pipeline.frames import SITE_SPANS, SITES, STATE, TICKS, check, schema
from pipeline.vocabulary import State

LEAST = 0.5  # Jaccard: half of the time that either was down, both were
LEAST_SHARED = timedelta(minutes=2)  # less is said by one check of each
# Under these the registrable domain has one label more. The full list is the Public Suffix List's; a site under
# another such suffix shares only what is told of it here, a domain that is too short.
_SECOND = {"ac", "co", "com", "edu", "gob", "gov", "go", "ne", "net", "or", "org"}
PIECES = 4096  # of time, in one matrix: 40 MB of a thousand sites
Floats = NDArray[np.float64]
SETTINGS = ("region", "tag")  # a site that has none is known to have none; an address may only not be known
FACTS = {"site": pl.String(), "attribute": pl.String(), "value": pl.String()}


def together(spans: pl.DataFrame, *, least: float = LEAST, least_shared: timedelta = LEAST_SHARED) -> pl.DataFrame:
    """Frame TOGETHER of frame SITE_SPANS (or any with site, state, since, until): groups of sites that were down at
    the same times, the largest first.

    Two sites belong together where the Jaccard index of their down time (both down / either down; Jaccard 1912) is at
    least `least` and they share `least_shared`. Groups are the connected components of that.
    """
    check(spans, SITE_SPANS, needs=("site", "state", "since", "until"))
    down = spans.filter(pl.col("state") == pl.lit(State.DOWN.value, STATE))
    down = down.select(pl.col("site").cast(pl.String), "since", "until").sort("site", "since")
    sites = down["site"].unique().sort().to_list()
    both = _overlaps(down, sites)
    totals = np.diag(both)
    index = both / np.maximum(totals[:, None] + totals[None, :] - both, 1e-9)
    close = (index >= least) & (both >= least_shared.total_seconds())
    np.fill_diagonal(close, val=False)
    best = np.where(close, index, 0).max(axis=1, initial=0)
    found = _components([(int(left), int(right)) for left, right in np.argwhere(np.triu(close))])
    found.sort(key=lambda group: (-len(group), -float(totals[group].sum()), group))
    rows: list[tuple[Any, ...]] = []
    for number, group in enumerate(found, 1):
        names = [sites[place] for place in group]
        held = _with_another(down.filter(pl.col("site").is_in(names)), names)
        rows += [
            (number, sites[place], totals[place], seconds, best[place])
            for place, seconds in zip(group, held, strict=True)
        ]
    return pl.DataFrame(rows, schema=schema(TOGETHER), orient="row")


def shared(groups: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """Frame SHARED: what at least two sites of a group of frame TOGETHER have in common, and fewer others have.

    `facts`: [site, attribute, value], one row each, of all sites: see `facts_of`. By group, the most telling first;
    p-values by `significance.proportions`, after Benjamini and Hochberg.
    """
    members = groups.select("group", pl.col("site").cast(pl.String))
    told = facts.select(*FACTS).unique()
    everybody = told["site"].n_unique()
    known = told.group_by("attribute").agg(
        all=pl.when(pl.col("attribute").first().is_in(SETTINGS)).then(everybody).otherwise(pl.col("site").n_unique())
    )
    everywhere = told.group_by("attribute", "value").agg(total=pl.col("site").n_unique())
    sizes = members.group_by("group").agg(of=pl.len())
    inside = told.join(members, on="site").group_by("group", "attribute", "value").agg(sites=pl.col("site").n_unique())
    counted = (
        inside.filter(pl.col("sites") > 1)
        .join(everywhere, on=["attribute", "value"])
        .join(known, on="attribute")
        .join(sizes, on="group")
        .sort("group", "attribute", "value")
    )
    rows = []
    for row in counted.iter_rows(named=True):
        others = row["total"] - row["sites"]
        rest = max(0, row["all"] - row["of"])
        p_value, _ = proportions(row["sites"], row["of"], others, max(rest, others))
        if row["sites"] / row["of"] > others / max(1, rest):
            rows.append({**row, "others": others, "p_value": p_value})
    for row, p_value in zip(rows, adjusted([row["p_value"] for row in rows]), strict=True):
        row["p_value"] = p_value
    types = schema(SHARED)
    found = pl.DataFrame([{name: row[name] for name in types} for row in rows], schema=types)
    return found.sort("group", "p_value", "others", "attribute", "value")


def facts_of(
    sites: pl.DataFrame, ticks: pl.DataFrame | None = None, snapshots: pl.DataFrame | None = None
) -> pl.DataFrame:
    """[site, attribute, value] of frame SITES: tags, regions where they are named, the host's registrable domain; of
    ticks the addresses and their networks (/24, of IPv6 /48); of snapshots who issued the certificates.
    """
    check(sites, SITES, needs=("site", "url", "tags", "regions"))
    keyed = sites.with_columns(pl.col("site").cast(pl.String))
    domain = pl.col("url").map_elements(domain_of, return_dtype=pl.String)
    parts = [
        keyed.select("site", attribute=pl.lit("domain"), value=domain),
        *(
            keyed.select("site", attribute=pl.lit(name[:-1]), value=name).explode("value", empty_as_null=False)
            for name in ("tags", "regions")
        ),
    ]
    if ticks is not None:
        check(ticks, TICKS, needs=("site", "ip"))
        seen = ticks.select(pl.col("site").cast(pl.String), value="ip").unique()
        parts.append(seen.select("site", attribute=pl.lit("address"), value="value"))
        network = pl.col("value").map_elements(network_of, return_dtype=pl.String)
        parts.append(seen.drop_nulls().select("site", attribute=pl.lit("network"), value=network))
    if snapshots is not None:
        issuer = pl.col("certificate_issuer")
        parts.append(snapshots.select(pl.col("site").cast(pl.String), attribute=pl.lit("issuer"), value=issuer))
    facts = pl.concat([part.cast(FACTS) for part in parts])  # type: ignore[arg-type] # a mapping of names to types
    return facts.drop_nulls().unique().sort("site", "attribute", "value")


def domain_of(url: str) -> str | None:
    """The registrable domain of a URL's host, as far as its last labels tell; None of an address."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    labels = host.split(".")
    if len(labels) < 2 or ":" in host or labels[-1].isdigit():
        return None
    long = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND
    return ".".join(labels[-3:] if long else labels[-2:])


def network_of(address: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 one."""
    length = 24 if ip_address(address).version == 4 else 48
    return str(ip_network(f"{address}/{length}", strict=False))


def _down_at(down: pl.DataFrame, sites: list[str]) -> Iterator[tuple[Floats, Floats]]:
    """(sites x pieces of time, 1 where down; how long each piece is, in seconds), so many pieces at a time.

    Time is cut wherever somebody's failure begins or ends: within a piece nothing changes.
    """
    edges = pl.concat([down["since"], down["until"]]).unique().sort()
    lengths = (edges.diff()[1:].dt.total_microseconds() / 1e6).to_numpy()
    rows = down["site"].replace_strict(sites, range(len(sites)), return_dtype=pl.Int64).to_numpy()
    starts, ends = (edges.search_sorted(down[name]).to_numpy().astype(np.int64) for name in ("since", "until"))
    for first in range(0, len(lengths), PIECES):
        part = lengths[first : first + PIECES]
        held = np.zeros((len(sites), len(part)))
        for row, start, end in zip(rows, starts - first, ends - first, strict=True):
            held[row, max(0, start) : max(0, end)] = 1
        yield held, part


def _overlaps(down: pl.DataFrame, sites: list[str]) -> Floats:
    """Sites x sites: the seconds in which both were down."""
    both = np.zeros((len(sites), len(sites)))
    for held, lengths in _down_at(down, sites):
        both += (held * lengths) @ held.T
    return both


def _with_another(down: pl.DataFrame, sites: list[str]) -> Floats:
    """Seconds of each site's down time in which another of them was down too."""
    shared_s = np.zeros(len(sites))
    for held, lengths in _down_at(down, sites):
        shared_s += (held * (held.sum(axis=0) > 1)) @ lengths
    return shared_s


def _components(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """The connected components, each sorted, by union and find."""
    parent: dict[int, int] = {}

    def root(site: int) -> int:
        parent.setdefault(site, site)
        while parent[site] != site:
            parent[site] = parent[parent[site]]
            site = parent[site]
        return site

    for left, right in pairs:
        parent[root(right)] = root(left)
    found: dict[int, list[int]] = {}
    for site in sorted(parent):
        found.setdefault(root(site), []).append(site)
    return list(found.values())
