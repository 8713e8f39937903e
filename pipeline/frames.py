"""The frames people work with: every column's type, unit and meaning, once, as data.

The data dictionary in the docs is made from this, `check` holds frames to it where they cross from one room into
another, and a test holds what the store returns to it. A misspelt lazy column fails here, not at collect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import polars as pl
from msgspec import Struct
from polars._typing import PolarsDataType

from pipeline.errors import WorkbenchError
from pipeline.vocabulary import STATE_OF, Clock, Kind, Outcome, Source, State

AnyFrame = TypeVar("AnyFrame", pl.DataFrame, pl.LazyFrame)

TIME = pl.Datetime("us", "UTC")
KEY = pl.Categorical()  # keys of sites and regions: few values, many rows
STATE = pl.Enum([state.value for state in State])
OUTCOME = pl.Enum([outcome.value for outcome in Outcome])
KIND = pl.Enum([kind.value for kind in Kind])
CLOCK = pl.Enum([clock.value for clock in Clock])
SOURCE = pl.Enum([source.value for source in Source])
BUCKETS, COUNTS = pl.List(pl.Int16()), pl.List(pl.Int32())


class FrameError(WorkbenchError):
    """A frame is not what its name promises; the message names each column."""


class Column(Struct, frozen=True):
    """What a column holds: its type, one sentence, and the unit where it has one."""

    dtype: PolarsDataType
    about: str
    unit: str | None = None


Frame = Mapping[str, Column]


def ms(about: str) -> Column:
    return Column(pl.Float32(), about, "ms")


SITE_KEY = Column(KEY, "Key of the site.")
REGION_KEY = Column(KEY, "Key of the region.")
SITE_ID = Column(pl.Int32(), "Number of the site; stays when its key is given to another.")
_REGION_ID = Column(pl.Int32(), "Number of the region.")

TICKS: Frame = {
    "scheduled_at": Column(TIME, "When the check was due; with site and region it names the slot.", "UTC"),
    "started_at": Column(TIME, "When the attempt began; null where none was made.", "UTC"),
    "site": SITE_KEY,
    "region": REGION_KEY,
    "site_id": SITE_ID,
    "region_id": _REGION_ID,
    "attempt": Column(pl.Int16(), "0 for the scheduled attempt, 1 and more for its confirmations."),
    "state": Column(STATE, "What the outcome makes the site, seen from this region."),
    "outcome": Column(OUTCOME, "What the attempt found, from the closed list."),
    "status": Column(pl.Int16(), "Status of the last HTTP response."),
    "dns_ms": ms("Looking the name up, summed over redirects; null where it was not needed."),
    "connect_ms": ms("Until the TCP connection stood."),
    "tls_ms": ms("The TLS handshake."),
    "ttfb_ms": ms("From the request's last byte to the response's first."),
    "transfer_ms": ms("The response's body."),
    "latency_ms": ms("The whole attempt."),
    "error_ms": ms("How far latency_ms may be off, by the prober's own measurement of itself."),
    "clock": Column(CLOCK, "What the latency was read from."),
    "trusted": Column(pl.Boolean(), "False where the prober was too busy for its latencies to count."),
    "ip": Column(pl.String(), "The address that answered."),
    "bytes": Column(pl.Int32(), "Size of the body as it was transferred.", "byte"),
    "interval_s": Column(pl.Int32(), "The interval in force at the slot.", "s"),
    "final": Column(pl.Boolean(), "No further attempt of this slot follows: it did not fail, or was the last."),
    "kind": Column(KIND, "Why the check was made; only scheduled ones are part of uptime."),
    "source": Column(SOURCE, "Who wrote the tick; a prober's replaces anybody else's."),
    "prober": Column(pl.String(), "The process that made the attempt."),
    "revision": Column(pl.Int32(), "The revision of the site's settings that called for the slot."),
    "detail": Column(pl.String(), "One sentence for a person."),
}

COUNTED = {
    "checks": "Slots that have a tick.",
    "up": "Slots that were up.",
    "degraded": "Slots that were degraded: up, and something to say.",
    "down": "Slots that were down.",
    "unknown": "Slots that nobody can speak for, with a tick that says why.",
    "attempts": "Scheduled attempts and their confirmations.",
    "first_failures": "Slots whose first attempt failed, whatever its confirmations said.",
    "untrusted": "Slots that were up or degraded with a latency that does not count.",
}
_HELD = {
    "up_us": "Time held up: from each tick to the next, at most two intervals.",
    "degraded_us": "Time held degraded.",
    "down_us": "Time held down.",
    "unknown_us": "Time held by explicit unknown ticks; gaps without ticks are not in it.",
}
_QUANTILES = {
    f"p{percent}_ms": ms(f"{percent} % were faster; from the histogram beside it.") for percent in (50, 90, 95, 99)
}
_BUCKETS = Column(BUCKETS, "Latency histogram: bucket numbers in ascending order; see analysis.histograms.")
AT = Column(TIME, "Start of the hour or the UTC day.", "UTC")

# As stored, one row a series and hour (or day).
HOURS: Frame = {
    "at": AT,
    "site_id": SITE_ID,
    "region_id": _REGION_ID,
    **{name: Column(pl.Int32(), about) for name, about in COUNTED.items()},
    **{name: Column(pl.Int64(), about, "us") for name, about in _HELD.items()},
    **_QUANTILES,
    "buckets": _BUCKETS,
    "counts": Column(COUNTS, "Latency histogram: trusted ticks, up or degraded, by bucket."),
    "last_until": Column(TIME, "Until when, within the row, the last state is held; perhaps beyond now.", "UTC"),
    "last_state": Column(pl.Int16(), "That state: the position of its column among up_us to unknown_us."),
}

# What only the hours have: their runs of one state, of which days of spans are made.
PIECES = Column(
    pl.List(pl.Int64()),
    "Five numbers a run: its start, end and last slot (us since the hour began; a slot before it is negative), its "
    "state's position, its slots in the hour.",
)
HOUR_ROWS: Frame = {**HOURS, "pieces": PIECES}

# As read, merged over what was not asked for; `site` and `region` are there where `by` names them.
ROLLUPS: Frame = {
    "at": AT,
    "site": SITE_KEY,
    "region": REGION_KEY,
    **{name: Column(pl.Int64(), about) for name, about in COUNTED.items()},
    **{name: Column(pl.Int64(), about, "us") for name, about in _HELD.items()},
    "expected_s": Column(pl.Float64(), "Time for which checks were called for, by the revisions; to now at most.", "s"),
    **_QUANTILES,
    "buckets": _BUCKETS,
    "counts": Column(pl.List(pl.Int64()), "Latency histogram: trusted ticks, up or degraded, by bucket."),
}

_SPAN = {
    "state": Column(STATE, "What held: of a region its state, of a site the vote of its regions."),
    "since": Column(TIME, "When it began: the slot that first said so, or the end of what was held before.", "UTC"),
    "until": Column(TIME, "When it ended, exclusive.", "UTC"),
}
_EDGES = {
    "began_after": Column(TIME, "The last slot that said otherwise: it began in (began_after, since].", "UTC"),
    "ended_after": Column(TIME, "The last slot that said so: it ended in (ended_after, until].", "UTC"),
}

# One region's spans. No two of a series overlap, and neighbours differ; a gap that was called for is unknown.
SPANS: Frame = {
    "site": SITE_KEY,
    "region": REGION_KEY,
    "site_id": SITE_ID,
    "region_id": _REGION_ID,
    **_SPAN,
    "checks": Column(pl.Int64(), "Slots with a tick in it; 0 for a gap."),
    **_EDGES,
}

# A site's spans, by the vote of its regions.
SITE_SPANS: Frame = {
    "site": SITE_KEY,
    "site_id": SITE_ID,
    **_SPAN,
    "down": Column(pl.Int16(), "Regions that held it down when the span began."),
    "known": Column(pl.Int16(), "Regions that knew its state when the span began."),
    "regions": Column(pl.Int16(), "Regions that were to check it then."),
    **_EDGES,
}

PERIOD = pl.Enum(["maintenance", "suspect"])

# What overrides the ticks.
PERIODS: Frame = {
    "id": Column(pl.Int64(), "Its number."),
    "kind": Column(PERIOD, "maintenance: what is found counts neither way; suspect: it is not believed, so unknown."),
    "site": Column(KEY, "Key of the site that it is about; null: all."),
    "region": Column(KEY, "Key of the region that is not believed; null: all."),
    "since": Column(TIME, "When it begins.", "UTC"),
    "until": Column(TIME, "When it ends, exclusive; null: it goes on.", "UTC"),
    "reason": Column(pl.String(), "Why, in somebody's words."),
    "actor": Column(pl.String(), "Who said so."),
}

SITES: Frame = {
    "site": SITE_KEY,
    "site_id": SITE_ID,
    "name": Column(pl.String(), "The site's name for people."),
    "url": Column(pl.String(), "What is checked; the scheme picks the probe."),
    "interval_s": Column(pl.Int32(), "Seconds between checks.", "s"),
    "timeout_s": Column(pl.Float64(), "Seconds that an attempt may take.", "s"),
    "confirmations": Column(pl.Int16(), "Further attempts before a failure is believed."),
    "method": Column(pl.String(), "HTTP method."),
    "tags": Column(pl.List(pl.String()), "Words to find it by."),
    "regions": Column(pl.List(pl.String()), "Keys of its regions; null where it follows all."),
    "paused": Column(pl.Boolean(), "Nothing is checked while it is."),
    "certificate_expires_at": Column(
        TIME, "When its certificate ends, the earliest that a region was shown last; null where none was.", "UTC"
    ),
    "created_at": Column(TIME, "When it was added.", "UTC"),
    "updated_at": Column(TIME, "When it was last changed.", "UTC"),
}

REGIONS: Frame = {
    "region": REGION_KEY,
    "region_id": _REGION_ID,
    "name": Column(pl.String(), "The region's name for people."),
    "managed": Column(pl.Boolean(), "Our supervisor runs its prober."),
    "created_at": Column(TIME, "When it was added.", "UTC"),
}

TRANSITIONS: Frame = {
    "at": Column(TIME, "The time of the tick that changed the verdict.", "UTC"),
    "recorded_at": Column(TIME, "When the change was written.", "UTC"),
    "site": SITE_KEY,
    "site_id": SITE_ID,
    "from_state": Column(STATE, "The verdict before."),
    "to_state": Column(STATE, "The verdict after."),
    "votes": Column(pl.String(), "What each region said, as JSON: region key to state."),
}

SNAPSHOTS: Frame = {
    "scheduled_at": Column(TIME, "When the check was due, as in the ticks.", "UTC"),
    "site": SITE_KEY,
    "region": REGION_KEY,
    "site_id": SITE_ID,
    "region_id": _REGION_ID,
    "attempt": Column(pl.Int16(), "0 for the scheduled attempt, 1 and more for its confirmations."),
    "outcome": Column(OUTCOME, "What the attempt found."),
    "phase": Column(pl.String(), "What it had reached: dns, connect, tls, ttfb, transfer, or answer."),
    "problems": Column(pl.List(pl.String()), "Every expectation that failed, in sentences."),
    "urls": Column(pl.List(pl.String()), "What was asked, redirects included; without user, password and query."),
    "ips": Column(pl.List(pl.String()), "The address that each of them was asked of; null where there was none."),
    "statuses": Column(pl.List(pl.Int16()), "The status that each of them got; null where there was none."),
    "tls": Column(pl.String(), "Version and cipher of the last connection."),
    "certificate_subject": Column(pl.String(), "Whose certificate the server showed, accepted or not."),
    "certificate_issuer": Column(pl.String(), "Who signed it."),
    "certificate_names": Column(pl.List(pl.String()), "The first few host names that it is for."),
    "certificate_starts_at": Column(TIME, "From when on it is valid.", "UTC"),
    "certificate_expires_at": Column(TIME, "Until when it is valid.", "UTC"),
    "certificate_sha256": Column(pl.String(), "Its fingerprint."),
    "status_line": Column(pl.String(), "The first line of the last answer."),
    "header_names": Column(pl.List(pl.String()), "Headers of the last answer, the first 50."),
    "header_values": Column(pl.List(pl.String()), "Their values in the same order; secrets are cut out."),
    "body": Column(pl.String(), "The first 2 KB of the last answer's body as text."),
}

FLEET_SAMPLES: Frame = {
    "at": Column(TIME, "When the sample was taken: each ten seconds.", "UTC"),
    "region": REGION_KEY,
    "region_id": _REGION_ID,
    "probers": Column(pl.Int32(), "Probers that gave a sign of life."),
    "in_flight": Column(pl.Int32(), "Probes under way, of all probers."),
    "probed": Column(pl.Int64(), "Probes made since they started, of all probers."),
    "lateness_p50_ms": ms("Half of the last checks began at most so long after their time; the worst prober's."),
    "lateness_p95_ms": ms("95 % began at most so late; the worst prober's."),
    "lateness_p99_ms": ms("99 % began at most so late; the worst prober's."),
    "stall_ms": ms("The longest that a prober's loop stood still."),
    "checks_waiting": Column(pl.Int32(), "Checks that no prober had taken, those 2 s ahead of their time with them."),
    "checks_pending": Column(pl.Int32(), "Checks that a prober had taken and not handed over."),
    "oldest_waiting_s": Column(pl.Float32(), "Age of the oldest check that no prober had taken.", "s"),
    "ticks_waiting": Column(pl.Int32(), "Ticks that were not recorded."),
}

DECISIONS: Frame = {
    "at": Column(TIME, "When it was decided.", "UTC"),
    "region": REGION_KEY,
    "region_id": _REGION_ID,
    "before": Column(pl.Int32(), "Probers that the region was to have before."),
    "after": Column(pl.Int32(), "Probers that it is to have since."),
    "reason": Column(pl.String(), "Why, in a sentence."),
}


def schema(frame: Frame, names: Iterable[str] | None = None) -> pl.Schema:
    """The frame's schema, or that of the named columns."""
    return pl.Schema({name: frame[name].dtype for name in (frame if names is None else names)})


def check(frame: AnyFrame, promised: Frame, *, needs: Iterable[str] | None = None) -> AnyFrame:
    """The frame itself, if it holds what was promised. Errors: FrameError naming every difference.

    Without `needs` the columns must be exactly those promised; with it those named must be there, others may.
    """
    wanted, found = schema(promised, needs), frame.collect_schema()
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [
        f"{name} is {found[name]}, not {dtype}"
        for name, dtype in wanted.items()
        if name in found and found[name] != dtype
    ]
    if needs is None:
        problems += [f"{name} is not part of it" for name in found if name not in wanted]
    if problems:
        raise FrameError("the frame is not as published: " + "; ".join(problems))
    return frame


_STORED = {
    "outcome": pl.Series([outcome.value for outcome in Outcome], dtype=OUTCOME),
    "kind": pl.Series([kind.value for kind in Kind], dtype=KIND),
    "clock": pl.Series([clock.value for clock in Clock], dtype=CLOCK),
    "source": pl.Series([source.value for source in Source], dtype=SOURCE),
}
_STATES = pl.Series([STATE_OF[outcome].value for outcome in Outcome], dtype=STATE)


def decoded(name: str) -> pl.Expr:
    """A column of codes (outcome, kind, clock, source), as the store keeps them, in words."""
    words = _STORED[name]
    return pl.col(name).replace_strict(list(range(len(words))), words, return_dtype=words.dtype)


def state_of(outcome: str = "outcome") -> pl.Expr:
    """The state that a stored outcome code stands for."""
    return pl.col(outcome).replace_strict(list(range(len(_STATES))), _STATES, return_dtype=STATE).alias("state")
