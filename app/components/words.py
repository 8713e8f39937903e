"""How the app says things: states, causes, times. Pure."""

from __future__ import annotations

import re
from bisect import bisect
from datetime import datetime
from itertools import accumulate
from unicodedata import bidirectional, east_asian_width

from pipeline.analysis import claims
from pipeline.charts.palette import SYMBOLS, sign
from pipeline.charts.states import lasting
from pipeline.store.overview import SiteRow
from pipeline.vocabulary import Outcome, State

# What happened, in words, where a tick brings no sentence of its own.
OUTCOMES = {
    Outcome.OK: "answered as expected",
    Outcome.SLOW: "answered slowly",
    Outcome.EXPIRING: "the certificate expires soon",
    Outcome.DNS: "the name did not resolve",
    Outcome.REFUSED: "the connection was refused",
    Outcome.UNREACHABLE: "the host cannot be reached",
    Outcome.CONNECT_TIMEOUT: "no connection in time",
    Outcome.TLS: "the TLS handshake failed",
    Outcome.TIMEOUT: "no answer in time",
    Outcome.RESET: "the connection was reset",
    Outcome.PROTOCOL: "the answer is no valid HTTP",
    Outcome.REDIRECT: "the redirects lead nowhere",
    Outcome.STATUS: "an unexpected status",
    Outcome.CONTENT: "unexpected content",
    Outcome.TOO_LARGE: "the answer is too large",
    Outcome.MISSED: "no heartbeat came",
    Outcome.FAILED: "the heartbeat reported a failure",
    Outcome.LATE: "our check was late, so it was not made",
    Outcome.SCHEDULER_DOWN: "our scheduler was down",
    Outcome.WORKER_LOST: "our prober was lost on the way",
    Outcome.WORKER_OVERLOAD: "our prober was overloaded",
    Outcome.PROBE_NETWORK: "our own network was down",
    Outcome.POISON: "our prober could not read the check",
    Outcome.BLOCKED: "this address may not be probed",
}
INTERVALS = {10: "10 seconds", 30: "30 seconds", 60: "minute", 180: "3 minutes", 300: "5 minutes", 900: "15 minutes"}
COLOURS = {
    State.UP: "green",
    State.DEGRADED: "orange",
    State.DOWN: "red",
    State.UNKNOWN: "gray",
    State.MAINTENANCE: "blue",
    State.PAUSED: "gray",
}
NOTHING = claims.NOTHING  # stands where there is no value
_CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}  # as pictures
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")  # begins or ends of a direction
_LINK = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.)\S+|\S+@\S+\.\S+", re.IGNORECASE)
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@/])")


def plain(text: str) -> str:
    """Text that somebody else wrote, for a place that reads Markdown: shown as it is, never obeyed."""
    return _SPECIAL.sub(r"\\\1", unturned(text.replace("\n", " ")))


def verbatim(text: str) -> str:
    """Text that somebody else wrote, in a code span: no link is made of it."""
    return "`" + unturned(text.replace("`", "'").replace("\n", " ")) + "`"


def unlinked(text: str) -> str:
    """As `plain`, and what reads like an address in a code span: a server's words become no link of ours."""
    pieces, at = [], 0
    for found in _LINK.finditer(text):
        pieces += [plain(text[at : found.start()]) if at < found.start() else "", verbatim(found[0])]
        at = found.end()
    return "".join([*pieces, plain(text[at:])])


def unturned(text: str) -> str:
    """Text that somebody else wrote without what would turn the line around it: such marks are shown as a box.

    What is written from right to left is isolated, so that its line goes on from left to right after it.
    """
    bare = _TURNING.sub("\N{REPLACEMENT CHARACTER}", text)
    turned = any(bidirectional(letter) in ("R", "AL", "AN") for letter in bare)
    return f"\N{FIRST STRONG ISOLATE}{bare}\N{POP DIRECTIONAL ISOLATE}" if turned else bare


def shortened(text: str, most: int) -> str:
    """At most so many letters of a text, wide ones counted twice."""
    wide = list(accumulate(2 if east_asian_width(letter) in "WF" else 1 for letter in text))
    return text if not wide or wide[-1] <= most else text[: bisect(wide, most - 1)].rstrip() + "…"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in words."""
    if at is None:
        return "never"
    seconds = (now - at).total_seconds()
    return "just now" if seconds < 2 else f"{lasting(seconds)} ago"


def lasted(at: datetime | None, now: datetime) -> str:
    """For how long, in words; a dash where nobody knows since when."""
    return NOTHING if at is None else lasting((now - at).total_seconds())


def milliseconds(ms: float | None) -> str:
    if ms is None:
        return NOTHING
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def grouped(count: int) -> str:
    """A whole number with its thousands apart, as everywhere on our pages."""
    return f"{count:,}".replace(",", " ")


def every(interval_s: int) -> str:
    """An interval as people say it."""
    return f"every {INTERVALS.get(interval_s, lasting(interval_s))}"


WARN_DAYS = 14  # a certificate is renewed 30 days before its end, as a rule: by then that has failed for two weeks


def days_left(ends: datetime, now: datetime, what: str = "") -> str:
    """How long a certificate holds, as Markdown: in the colour of a warning where that is not long."""
    seconds = (ends - now).total_seconds()
    if seconds <= 0:
        return f":red[✕ {what}expired {lasting(-seconds)} ago]"
    days = int(seconds // 86_400)
    left = f"{grouped(days)} {'day' if days == 1 else 'days'} left" if days else f"{lasting(seconds)} left"
    return f":orange[▲ {what}{left}]" if days < WARN_DAYS else f":gray[{what}{left}]"


def lines(text: str) -> str:
    """Text of many lines that somebody else wrote, for a place that shows it as it is: what is not seen is drawn."""
    return _TURNING.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").translate(_CONTROLS))


def badge(state: State) -> str:
    """The state as Markdown: a symbol and a word on its colour."""
    return f":{COLOURS[state]}-badge[{sign(state)}]"


def mark(state: State) -> str:
    """The state's symbol in its colour, for beside a word that says it."""
    return f":{COLOURS[state]}[{SYMBOLS[state]}]"


def reason(outcome: Outcome | None, detail: str | None) -> str:
    """What a tick says happened, as it said it or in our words."""
    return detail or (OUTCOMES[outcome] if outcome is not None else "not checked yet")


def cause(row: SiteRow, *, confirming: bool = False) -> str:
    """Why a site is in its state: who sees what, in one line. `confirming`: its first check has failed once."""
    if row.state is State.PAUSED:
        return "paused: not checked"
    if row.state is State.UNKNOWN:
        return _why_unknown(row, confirming=confirming)
    seen = [s for s in row.seen if s.state in (State.DOWN, State.DEGRADED)]
    if not seen:
        return "answers as expected" if row.state is State.UP else ""
    reasons: dict[str, list[str]] = {}
    for each in seen:
        reasons.setdefault(reason(each.standing.outcome, each.standing.detail), []).append(each.region.key)
    if len(reasons) == 1 and len(seen) == len(row.seen):
        where = "everywhere" if len(seen) > 1 else seen[0].region.key
        return f"{next(iter(reasons))} · {where}"
    return "; ".join(f"{what} · {', '.join(where)}" for what, where in reasons.items())


def _why_unknown(row: SiteRow, *, confirming: bool) -> str:
    if not row.seen:
        return "no region checks it"
    if all(s.standing.slot_at is None for s in row.seen):
        return "first check failed, confirming" if confirming else "waiting for the first check"
    asked = [s for s in row.seen if s.standing.slot_at is not None]
    ours = {reason(s.standing.outcome, s.standing.detail) for s in asked if s.standing.state is State.UNKNOWN}
    waiting = len(row.seen) - len(asked)
    lapsed = sum(s.standing.state is not State.UNKNOWN and s.state is State.UNKNOWN for s in row.seen)
    said = [f"no fresh check from {lapsed} of {len(row.seen)} regions"] if lapsed else []
    if waiting:
        said.append(f"waiting for the first check from {waiting} of {len(row.seen)} regions")
    return "; ".join([*said, *sorted(ours)])


def waits(row: SiteRow) -> bool:
    """Whether there is no verdict yet, since a region's first check has not come in."""
    if row.state is State.PAUSED or row.checked_at is None:
        return row.checked_at is None
    return row.state is State.UNKNOWN and any(seen.standing.slot_at is None for seen in row.seen)
