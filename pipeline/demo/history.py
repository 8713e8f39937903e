"""The ticks of the ninety days, a UTC day at a time: the same for the same end, whatever order the days come in.

A check takes look-up, connection, (TLS,) the server's thinking and the transfer. The server thinks longer by day than
by night and on workdays, with a log-normal scatter; what happened is in `stories`. A failure is tried twice, as the
sites' one confirmation says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from pipeline.demo.cast import PLACES, Member, Place, members
from pipeline.demo.stories import Story, beginning, stories
from pipeline.demo.tides import SHIFTS_H, Numbers, busy
from pipeline.frames import TICKS, TIME, schema
from pipeline.schedule import phase_us, to_us
from pipeline.vocabulary import OUTCOME_CODES, STATE_OF, Clock, Kind, Outcome, Source, State

SEED = 20_260_101
TIMEOUT_S = 5.0
SPACING_S = 5.0
BLIPS = 2e-4  # a first attempt that fails for no reason, and is refuted by the second
OUTAGES = 2.5  # short ones of its own that a site has in ninety days, on average
US = 1_000_000
NOTHING = -1  # in place of a status that was not seen
OURS = OUTCOME_CODES[Outcome.LATE]  # from here on an outcome speaks of us
# How many of the five phases a failure got to; the others got to the end.
_REACHED = {
    OUTCOME_CODES[Outcome.CONNECT_TIMEOUT]: 1,
    OUTCOME_CODES[Outcome.REFUSED]: 2,
    OUTCOME_CODES[Outcome.TLS]: 3,
    OUTCOME_CODES[Outcome.TLS]: 3,
    OUTCOME_CODES[Outcome.TIMEOUT]: 3,
    OUTCOME_CODES[Outcome.RESET]: 3,
}
PHYSICAL = [name for name in schema(TICKS) if name not in ("site", "region", "state")]
_SHORT = (Outcome.TIMEOUT, Outcome.RESET, Outcome.STATUS, Outcome.REFUSED)
_DETAILS = {
    Outcome.TIMEOUT: "no answer within 5 s",
    Outcome.RESET: "connection reset before an answer",
    Outcome.STATUS: "status 500",
    Outcome.REFUSED: "connection refused",
}


class Series(Struct, frozen=True):
    """A site seen from a region, with the numbers that the store gave them."""

    member: Member
    place: Place
    site_id: int
    region_id: int
    revision: int


def all_series(
    sites: Mapping[str, int], regions: Mapping[str, int], revisions: Mapping[tuple[int, int], int]
) -> list[Series]:
    """Every site from every region. Numbers by key, and revisions by (site, region)."""
    return [
        Series(member, place, site, region, revisions[site, region])
        for member in members()
        for place in PLACES
        for site, region in [(sites[member.key], regions[place.key])]
    ]


def day(series: Sequence[Series], end: datetime, since: datetime, until: datetime) -> pl.DataFrame:
    """The ticks of [since, until), within a UTC day, in the columns of frame TICKS that the store keeps.

    Their chance is the day's: all series of a day are made together.
    """
    told = [story for story in _everything(end) if story.since < until and story.until > since]
    parts = [_happened(one, end, since, until, told) for one in series]
    counts = [len(part.slots) for part in parts]
    # The day's chance, not the moment's: whoever makes one day alone finds the same.
    random = np.random.default_rng([SEED, to_us(since) // (86_400 * US)])
    slots, outcome, slower = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("slots", "outcome", "slower")
    )
    frame = _measured(series, counts, slots, outcome, slower, random).with_columns(
        status=np.concatenate([part.status for part in parts]),
        detail=pl.Series([text for part in parts for text in part.detail], dtype=pl.String),
    )
    return _attempts(frame, blips=random.random(len(slots)) < BLIPS)


class _Happened(Struct, frozen=True):
    """A series' slots of a day and what happened at each."""

    slots: NDArray[np.int64]
    outcome: NDArray[np.int16]
    status: NDArray[np.int16]
    slower: Numbers
    detail: list[str | None]


@cache
def _everything(end: datetime) -> tuple[Story, ...]:
    return (*_short_outages(end), *stories(end))  # who is told last is believed


def _short_outages(end: datetime) -> Iterator[Story]:
    began = beginning(end)
    for number, member in enumerate(members()):
        random = np.random.default_rng([SEED, number])
        for _ in range(random.poisson(OUTAGES)):
            since = began + timedelta(minutes=float(random.uniform(0, 89 * 1440)))
            lasts = timedelta(minutes=float(4 + random.exponential(9)))
            outcome = _SHORT[int(random.integers(len(_SHORT)))]
            status = 500 if outcome is Outcome.STATUS else None
            yield Story("of its own", since, since + lasts, (member.key,), (), outcome, status, _DETAILS[outcome])


def slots_us(one: Series, began: datetime, since: datetime, until: datetime) -> NDArray[np.int64]:
    """The series' slots in [since, until), us since the epoch: as `pipeline.schedule` has them of one revision."""
    interval = one.member.interval_s * US
    phase = phase_us(one.site_id, one.region_id, one.member.interval_s)
    first = max(to_us(since), to_us(began) + 1)
    slots = np.arange(first + (phase - first) % interval, to_us(until), interval, dtype=np.int64)
    return np.concatenate([[to_us(began)], slots]).astype(np.int64) if since <= began < until else slots


def _happened(one: Series, end: datetime, since: datetime, until: datetime, told: Sequence[Story]) -> _Happened:
    key, place = one.member.key, one.place.key
    mine = [story for story in told if key in (story.sites or (key,)) and place in (story.regions or (place,))]
    slots = slots_us(one, beginning(end), since, until)
    for story in mine:
        if story.gap:
            slots = slots[~_within(story, slots)]
    outcome = np.full(len(slots), OUTCOME_CODES[Outcome.OK], dtype=np.int16)
    status = np.full(len(slots), 200, dtype=np.int16)
    detail: list[str | None] = [None] * len(slots)
    slower = np.ones(len(slots))
    for story in mine:
        touched = _within(story, slots)
        days = (slots - to_us(story.since)) / (86_400 * US)
        slower = np.where(touched, slower * (story.slower + story.drift * days), slower)
        if story.outcome is None:
            continue
        if story.flapping:
            touched &= np.arange(len(slots)) % 2 == 0
        outcome[touched] = OUTCOME_CODES[story.outcome]
        status[touched] = story.status or (200 if STATE_OF[story.outcome] is State.DEGRADED else NOTHING)
        for number in np.flatnonzero(touched):
            detail[number] = story.detail
    return _Happened(slots, outcome, status, slower, detail)


def _within(story: Story, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (slots >= to_us(story.since)) & (slots < to_us(story.until))


def _measured(
    series: Sequence[Series],
    counts: Sequence[int],
    slots: NDArray[np.int64],
    outcome: NDArray[np.int16],
    slower: Numbers,
    random: np.random.Generator,
) -> pl.DataFrame:
    """What was measured, were every attempt the only one: a failure has the phases that it reached."""
    count = len(slots)

    def each(of: Callable[[Series], float]) -> Numbers:
        return np.repeat(np.array([of(one) for one in series], dtype=np.float64), counts)

    trip = each(lambda one: one.place.round_trip_ms[one.member.home])
    size = each(lambda one: one.member.size)
    dns = random.lognormal(np.log(2.2), 0.5, count)
    connect = trip * random.lognormal(0.0, 0.03, count) + random.exponential(0.3, count)
    tls = connect * 1.05 + random.lognormal(np.log(1.4), 0.2, count)
    thinking = each(lambda one: one.member.server_ms) * busy(each(lambda one: SHIFTS_H[one.member.home]), slots)
    server = thinking * slower * random.lognormal(0.0, 0.16, count)
    server *= np.where(random.random(count) < 0.006, random.uniform(2.5, 6.0, count), 1.0)  # the tail
    ttfb = connect + server
    transfer = size / 9000.0 * random.lognormal(0.0, 0.1, count) + trip * (size > 14_600) * 0.6

    reached = np.select([outcome >= OURS, *(outcome == code for code in _REACHED)], [0, *_REACHED.values()], 5)
    waited = np.isin(outcome, [OUTCOME_CODES[Outcome.TIMEOUT], OUTCOME_CODES[Outcome.CONNECT_TIMEOUT]])
    whole = dns + connect + tls + ttfb + transfer
    until_tls, until_connect = dns + connect + tls, dns + connect
    spent = np.select(
        [waited, reached == 5, reached == 3, reached == 2], [TIMEOUT_S * 1000, whole, until_tls, until_connect], 0.0
    )
    certain = random.random(count) > 0.0008
    error = np.where(certain, 0.05 + random.gamma(2.0, 0.06, count), random.uniform(20, 80, count))
    phases = {"dns": dns, "connect": connect, "tls": tls, "ttfb": ttfb, "transfer": transfer}
    measured = pl.DataFrame(
        {
            "number": np.repeat(np.arange(len(series), dtype=np.uint32), counts),
            "scheduled_at": pl.Series(slots).cast(TIME),
            "started_at": pl.Series(slots + np.rint(random.exponential(80.0, count)).astype(np.int64)).cast(TIME),
            "bytes": pl.Series(size.astype(np.int32)),
            **{
                f"{name}_ms": _reached(values, reached >= number)
                for number, (name, values) in enumerate(phases.items(), start=1)
            },
            "latency_ms": _reached(spent, reached > 0),
            "error_ms": _reached(error, reached > 0),
            "outcome": pl.Series(outcome),
            "trusted": pl.Series(certain),
            "reached": pl.Series(reached.astype(np.int8)),
        }
    )
    joined = measured.join(_constants(series), on="number", how="left", maintain_order="left")
    return joined.with_columns(
        bytes=pl.when(pl.col("reached") == 5).then("bytes"), ip=pl.when(pl.col("reached") >= 2).then("ip")
    ).drop("number", "reached")


def _constants(series: Sequence[Series]) -> pl.DataFrame:
    """What is the same in every tick of a series, by its number."""
    return pl.DataFrame(
        {
            "number": pl.int_range(len(series), eager=True, dtype=pl.UInt32),
            "site_id": pl.Series([one.site_id for one in series], dtype=pl.Int32),
            "region_id": pl.Series([one.region_id for one in series], dtype=pl.Int32),
            "interval_s": pl.Series([one.member.interval_s for one in series], dtype=pl.Int32),
            "revision": pl.Series([one.revision for one in series], dtype=pl.Int32),
            "prober": [f"demo@{one.place.key}" for one in series],
            "ip": [one.member.ip for one in series],
        }
    )


def _reached(values: Numbers, reached: NDArray[np.bool_]) -> pl.Series:
    return pl.Series(np.where(reached, values, np.nan).astype(np.float32)).fill_nan(None)


def _attempts(frame: pl.DataFrame, *, blips: NDArray[np.bool_]) -> pl.DataFrame:
    """Each slot's attempts: a failure is tried again 5 s later and found once more; a blip is refuted."""
    failed = (pl.col("outcome") >= OUTCOME_CODES[Outcome.DNS]) & (pl.col("outcome") < OURS)
    tried = frame.with_columns(blip=pl.Series(blips)).with_columns(
        blip=pl.col("blip") & (pl.col("outcome") == OUTCOME_CODES[Outcome.OK])
    )
    tried = tried.with_columns(twice=failed | pl.col("blip"))
    nothing = pl.lit(None)
    first = tried.with_columns(
        attempt=pl.lit(0, pl.Int16),
        final=~pl.col("twice"),
        **{
            name: pl.when("blip").then(value).otherwise(name)
            for name, value in {
                "outcome": pl.lit(OUTCOME_CODES[Outcome.TIMEOUT], pl.Int16),
                "status": pl.lit(NOTHING, pl.Int16),
                "latency_ms": pl.lit(TIMEOUT_S * 1000, pl.Float32),
                "detail": pl.lit(_DETAILS[Outcome.TIMEOUT]),
                "ttfb_ms": nothing,
                "transfer_ms": nothing,
                "bytes": nothing,
            }.items()
        },
    )
    spent_us = (pl.col("latency_ms").fill_null(0) * 1000).cast(pl.Int64)
    again = (pl.col("started_at") + pl.duration(seconds=SPACING_S) + pl.duration(microseconds=spent_us)).cast(TIME)
    second = tried.filter("twice").with_columns(attempt=pl.lit(1, pl.Int16), final=pl.lit(value=True), started_at=again)
    codes = {
        "kind": list(Kind).index(Kind.SCHEDULED),
        "clock": list(Clock).index(Clock.KERNEL),
        "source": list(Source).index(Source.PROBER),
    }
    return (
        pl.concat([first, second])
        .with_columns(
            started_at=pl.when(pl.col("outcome") < OURS).then("started_at"),
            status=pl.col("status").replace(NOTHING, None),
            **{name: pl.lit(code, pl.Int16) for name, code in codes.items()},
        )
        .select(PHYSICAL)
    )
