"""What the check saw: how far a failure came, by which way, and what the other side showed and said.

All of it is a stranger's: it is drawn as text, never as Markdown or HTML, and what would turn or hide it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import polars as pl
import streamlit as st

from app import data
from app.components import code
from app.components.charting import titled
from app.components.words import COLOURS, NOTHING, OUTCOMES, ago, days_left, lines, plain, unlinked, verbatim
from pipeline.applicable import is_bare
from pipeline.charts.palette import SYMBOLS
from pipeline.frames import TIME
from pipeline.store.overview import SiteRow
from pipeline.store.snapshots import Sighting
from pipeline.vocabulary import Certificate, Snapshot, State

STEPS = {"dns": "DNS", "connect": "Connect", "tls": "TLS", "ttfb": "First byte", "answer": "Answer"}
ENDED = {
    "dns": "It ended before there was an address to connect to.",
    "connect": "It ended before a connection stood.",
    "tls": "It ended before both sides agreed on TLS.",
    "ttfb": "It ended while we waited for the first byte of an answer.",
    "transfer": "It ended in the middle of the answer.",
    "answer": "The answer was whole, but not what is expected.",
}
SECURED = ("https://", "tls://")
BODY_HEIGHT, HEADERS_HEIGHT = 320, 320  # px; what is longer scrolls
PICKER_WIDTH = 340  # px
NEWEST = "newest"


class Step(NamedTuple):
    """A part of the way: `ended` is None where it was passed, True where it ended there, False where it never came."""

    name: str
    ended: bool | None


def panel(row: SiteRow, now: datetime) -> None:
    """The newest failure of a site, or the one that is picked; open while the site is not up. Nothing without any."""
    seen = data.sightings(row.id)
    if not seen:
        return
    failing = row.state not in (State.UP, State.PAUSED)
    label = "What the check saw" if failing else "What the last failure saw"
    with st.expander(label, expanded=failing, key=f"sighting-{row.id}-{'open' if failing else 'shut'}"):
        picked = _picked(row, seen)
        when = f"{picked.scheduled_at:%d %b %H:%M:%S} UTC from {plain(picked.region)}, {ago(picked.scheduled_at, now)}"
        what = OUTCOMES[picked.outcome]
        titled(
            what[:1].upper() + what[1:],
            f"{when}; secrets of this site are cut out",
            name=f"{row.key}-failures",
            frame=as_frame(seen),
            code=code.snapshots(row.key),
        )
        _draw(picked, now)


def _picked(row: SiteRow, seen: Sequence[Sighting]) -> Sighting:
    """The newest as long as nobody picks another: the panel then follows."""
    if len(seen) == 1:
        return seen[0]
    named = {NEWEST: seen[0], **{_place(each): each for each in seen}}
    picked = st.selectbox(
        "Failure",
        list(named),
        format_func=lambda place: "The newest failure" if place == NEWEST else _told(named[place]),
        key=f"picked-sighting-{row.id}",
        label_visibility="collapsed",
        help="Of failures that follow each other in the same way, the first is kept, and one every ten minutes.",
        width=PICKER_WIDTH,
    )
    return named.get(picked or NEWEST, seen[0])


def _place(seen: Sighting) -> str:
    return f"{seen.scheduled_at.isoformat()} {seen.region} {seen.attempt}"


def _told(seen: Sighting) -> str:
    what = str(seen.outcome).replace("_", " ")
    again = f" · confirmation {seen.attempt}" if seen.attempt else ""
    return f"{seen.scheduled_at:%d %b %H:%M:%S} · {seen.region} · {SYMBOLS[seen.state]} {what}{again}"


def _draw(seen: Sighting, now: datetime) -> None:
    look = seen.snapshot
    st.markdown(trail(seen))
    st.caption(ENDED[look.phase])
    if look.problems:
        colour = COLOURS[seen.state]
        # Two blanks: a list of theirs could be read as one of ours.
        st.markdown("  \n".join(f":{colour}[{SYMBOLS[seen.state]}] {unlinked(said)}" for said in look.problems))
    with st.grid("auto", min_column_width=320, gap="medium"):
        with st.container(gap="xsmall"):
            _way(look, now)
        if look.status_line or look.headers:
            with st.container(gap="xsmall"):
                _answer(look)
    if look.body is not None:
        with st.container(gap="xsmall"):
            st.caption("Body, its beginning as text")
            st.code(lines(look.body), language=None, wrap_lines=True, height=_height(look.body, BODY_HEIGHT))


def trail(seen: Sighting) -> str:
    """The way that the attempt went, as Markdown: passed, ended here, never reached."""
    badges = []
    for step in steps(seen.snapshot):
        if step.ended is None:
            badges.append(f":green-badge[✓ {step.name}]")
        elif step.ended:
            badges.append(f":{COLOURS[seen.state]}-badge[{SYMBOLS[seen.state]} **{step.name}**]")
        else:
            badges.append(f":gray-badge[{step.name}]")
    return " → ".join(badges)


def steps(look: Snapshot) -> list[Step]:
    """The parts of the last request's way, TLS only where its URL calls for it."""
    url = look.hops[-1].url.lower() if look.hops else ""
    reached = "answer" if look.phase == "transfer" else look.phase
    skipped = set() if url.startswith(SECURED) or not url else {"tls"}
    skipped |= {"ttfb"} if is_bare(url) else set()
    skipped |= {"dns"} if _is_address(url) else set()
    names = [step for step in STEPS if step not in skipped or step == reached]
    at = names.index(reached)
    return [Step(STEPS[name], None if i < at else i == at) for i, name in enumerate(names)]


def _is_address(url: str) -> bool:
    """Whether a URL names its host by an address, which nobody looks up."""
    try:
        ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True


def _way(look: Snapshot, now: datetime) -> None:
    """Requests and the certificate."""
    if look.hops:
        asked = len(look.hops)
        st.caption(f"Asked {asked} times, along redirects" if asked > 1 else "Asked")
        st.code("\n".join(_hops(look)), language=None, wrap_lines=True)
    if look.certificate is not None:
        st.caption(f"Certificate · {plain(look.tls)}" if look.tls else "Certificate")
        st.markdown("  \n".join(_certificate(look.certificate, now)))


def _hops(look: Snapshot) -> list[str]:
    """A line a request: the status that it got, whom it asked, and at which address."""
    said = []
    for hop in look.hops:
        status = str(hop.status) if hop.status is not None else f" {NOTHING} "
        where = f"   {hop.ip}" if hop.ip else ""
        said.append(lines(f"{status}  {hop.url}{where}".replace("\n", " ")))
    return said


def _certificate(shown: Certificate, now: datetime) -> list[str]:
    names = ", ".join(verbatim(name) for name in shown.names) or ":gray[no name]"
    valid = f"{shown.not_before:%d %b %Y} to {shown.not_after:%d %b %Y}"
    left = ":red[✕ not valid yet]" if shown.not_before > now else days_left(shown.not_after, now)
    return [
        f"{left} &ensp;:gray[{valid}]",
        f"for {names}",
        f":gray[issued by] {unlinked(shown.issuer)}" if shown.issuer else ":gray[no issuer]",
        f":gray[SHA-256 {shown.sha256[:16]}…]" if shown.sha256.isalnum() else "",
    ]


def _answer(look: Snapshot) -> None:
    st.caption("Answer")
    head = [look.status_line or "", *(f"{name}: {value}" for name, value in look.headers)]
    text = "\n".join(lines(line.replace("\n", " ")) for line in head if line)
    st.code(text, language=None, wrap_lines=True, height=_height(text, HEADERS_HEIGHT))


def _height(text: str, most: int) -> int | Literal["content"]:
    """As high as its text where that is short, so that nothing stands empty."""
    shown = sum(1 + len(line) // 60 for line in text.split("\n"))
    return most if shown > most // 22 else "content"


def as_frame(seen: Sequence[Sighting]) -> pl.DataFrame:
    """The failures as a table, for a file: the parts that fit into one."""
    types: dict[str, Any] = {"scheduled_at": TIME, "region": pl.String, "attempt": pl.Int16, "outcome": pl.String}
    texts = ("phase", "problems", "urls", "tls", "certificate_expires_at", "status_line", "headers", "body")
    rows = [
        (
            each.scheduled_at, each.region, each.attempt, str(each.outcome), look.phase, "\n".join(look.problems),
            "\n".join(hop.url for hop in look.hops), look.tls,
            look.certificate and look.certificate.not_after.isoformat(), look.status_line,
            "\n".join(f"{name}: {value}" for name, value in look.headers), look.body,
        )
        for each in seen
        for look in (each.snapshot,)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=types | dict.fromkeys(texts, pl.String), orient="row")
