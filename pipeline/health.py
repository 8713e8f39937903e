"""Is the workbench itself well? Judged from signs of life, without a clock or a store of its own.

Here are the words and the parts without which nothing is checked: what `/healthz` answers. What a person should know
beyond that (backlog, lateness, disk, clocks) is judged in `pipeline.checkup`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from pipeline.vocabulary import Region

FRESH = timedelta(seconds=10)  # every role gives a sign of life each second or two
STARTING = timedelta(seconds=10)  # a new region's prober gives its first within three
UNRECORDED_S = (10.0, 60.0)  # how long a tick may wait to be recorded: worth a look, unwell
LOOK_BACK = timedelta(hours=1)  # how far to look for a last sign, so that the message can tell how long ago it was

OLD_TABLES = "of another version than this code"
MIGRATE = (
    "Older tables: `betterstack migrate`, or `betterstack up`, brings them up to this version, with a backup first.",
    "Newer tables: another Workbench has migrated them. Upgrade this one to the same version.",
)


class Grade(StrEnum):
    """How a part is. Only what is unwell makes the whole unwell: a warning should wake nobody."""

    WELL = "well"
    LOOK = "worth a look"
    UNWELL = "unwell"


SIGNS = {Grade.WELL: "●", Grade.LOOK: "▲", Grade.UNWELL: "✕"}  # colour is never the only sign
# What each kind of part is for, and so what it means when it is away. The kind is a name's first word.
MEANS = {
    "postgres": "Keeps everything: what is watched, what was found. Without it nothing is recorded or shown.",
    "tables": "Where Postgres keeps it. Code and tables have to be of one version.",
    "pusher": "Sends out the checks that are due. Without it nothing is checked, and states run out.",
    "recorder": "Writes down what the probers find, and judges it. Without it ticks wait; none is lost.",
    "regions": "Where checks are made from. Without one nothing is checked.",
    "roller": "Rolls ticks up into hours and days, makes the days' partitions. Without it charts of days grow old.",
    "supervisor": "Keeps probers running, as many as the load needs. Without it none is replaced that dies.",
    "prober": "Makes the checks of its region. Without one the region's sites become unknown.",
}


class Seen(Protocol):
    """A worker's sign of life."""

    @property
    def role(self) -> str: ...
    @property
    def region_id(self) -> int | None: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def seen_at(self) -> datetime: ...


class Waiting(Protocol):
    """What waits in a region's streams, as of a time."""

    @property
    def seen_at(self) -> datetime: ...
    @property
    def oldest_tick_s(self) -> float: ...


class Part(Struct, frozen=True):
    """One thing that has to work: what was found, since when it holds, and what to do where it is not well.

    `todo` are sentences, with commands in backticks; `since` is None where nobody knows. `ok` is false for what is
    unwell only.
    """

    name: str
    ok: bool
    message: str
    grade: Grade = Grade.WELL
    since: datetime | None = None
    means: str = ""
    todo: tuple[str, ...] = ()


class Health(Struct, frozen=True):
    ok: bool
    parts: list[Part]

    @property
    def grade(self) -> Grade:
        """That of the worst part."""
        return max((part.grade for part in self.parts), key=list(Grade).index, default=Grade.WELL)


def judged(
    name: str,
    message: str,
    grade: Grade = Grade.WELL,
    *,
    since: datetime | None = None,
    todo: Sequence[str] = (),
    means: str | None = None,
) -> Part:
    """A part, with what its kind is for."""
    about = MEANS.get(name.split(maxsplit=1)[0], "") if means is None else means
    return Part(name, grade is not Grade.UNWELL, message, grade, since, about, tuple(todo))


def health(
    now: datetime,
    pusher_beat: datetime | None,
    workers: Collection[Seen],
    regions: Iterable[Region],
    migrated: bool,
    waiting: Iterable[Waiting] = (),
    *,
    unwatched: int = 0,
) -> Health:
    """Well is: tables of this version, fresh signs of pusher, recorder, roller and each managed region's prober.

    And that they get somewhere: ticks are recorded, and no site is without a region. `unwatched` is how many are.
    """
    if not migrated:
        return of([judged("tables", OLD_TABLES, Grade.UNWELL, todo=MIGRATE)])
    parts = [judged("tables", "of this version"), _beating(now, "pusher", pusher_beat, None)]
    parts += [_recorder(now, _last(workers, "recorder"), waiting), alive(now, "roller", _last(workers, "roller"))]
    if unwatched:
        parts.append(_nowhere(unwatched))
    # Regions that are not managed are somebody else's to run: what they miss shows as unknown, not here.
    managed = [region for region in regions if region.managed]
    parts += [prober(now, region, _last(workers, "prober", region.id)) for region in managed]
    return of(parts)


def unreachable(message: str, since: datetime | None = None) -> Health:
    """Without Postgres nothing else can be known. `since` is when it last answered."""
    todo = (
        "`betterstack up` starts everything on this machine, Postgres included.",
        "With a Postgres of your own: see that it runs and is named right in BETTERSTACK_DATABASE_URL.",
        "`betterstack doctor` tells what Postgres answers, and how Redis is.",
    )
    return of([judged("postgres", message, Grade.UNWELL, since=since, todo=todo)])


def of(parts: Sequence[Part]) -> Health:
    return Health(all(part.ok for part in parts), list(parts))


def alive(now: datetime, name: str, last: Seen | None, silent: Grade = Grade.UNWELL) -> Part:
    """A role by the newest of its signs of life; `silent` is how bad it is to have none."""
    if last is None:
        return _beating(now, name, None, None, silent)
    return _beating(now, name, last.seen_at, last.started_at, silent)


def _recorder(now: datetime, last: Seen | None, waiting: Iterable[Waiting]) -> Part:
    """Alive is not enough: ticks that wait for long say that none gets through, whichever region they are of."""
    part = alive(now, "recorder", last)
    longest_s = max((each.oldest_tick_s for each in waiting if now - each.seen_at <= FRESH), default=0.0)
    if part.grade is not Grade.WELL or longest_s < UNRECORDED_S[0]:
        return part
    grade = Grade.UNWELL if longest_s >= UNRECORDED_S[1] else Grade.LOOK
    todo = (
        "See its log: it says what Postgres refuses, or that it is slow or full. What waits is recorded then.",
        "It catches up by itself where it was away.",
    )
    said = f"alive, and a tick waits to be recorded for {longest_s:.0f} s"
    return judged("recorder", said, grade, since=now - timedelta(seconds=longest_s), todo=todo)


def _nowhere(sites: int) -> Part:
    said = "there is no region, so nothing is checked"
    whose = "1 site is" if sites == 1 else f"{sites} sites are"
    todo = (f"`betterstack regions add` adds one, and {whose} checked from it.",)
    return judged("regions", said, Grade.UNWELL, todo=todo)


def prober(now: datetime, region: Region, last: Seen | None) -> Part:
    """A new region's prober is given the time to start: nobody should be woken by an edit."""
    name = f"prober {region.key}"
    if last is None and region.created_at is not None and now - region.created_at <= STARTING:
        return judged(name, "starting")
    return alive(now, name, last)


def how_to_start(name: str) -> tuple[str, ...]:
    """What to do where a role gives no sign of life."""
    role, _, region = name.partition(" ")
    if role == "prober":
        return (
            "The supervisor starts it anew within seconds. If not, its log says why: that of `betterstack up`.",
            f"By hand: `betterstack prober --region {region}`",
        )
    return (
        f"See the end of its log, then restart it: `betterstack up` runs every role, `betterstack {role}` this one.",
    )


def _last(workers: Iterable[Seen], role: str, region_id: int | None = None) -> Seen | None:
    """Who gave the newest sign of that role, in that region where one is named."""
    seen = (w for w in workers if w.role == role and (region_id is None or w.region_id == region_id))
    return max(seen, key=lambda worker: worker.seen_at, default=None)


def _beating(
    now: datetime,
    name: str,
    seen_at: datetime | None,
    started_at: datetime | None,
    silent: Grade = Grade.UNWELL,
) -> Part:
    if seen_at is not None and now - seen_at <= FRESH:
        return judged(name, "alive", since=started_at)
    said = "no sign of life" if seen_at is None else f"no sign of life for {(now - seen_at).total_seconds():.0f} s"
    return judged(name, said, silent, since=seen_at, todo=how_to_start(name))
