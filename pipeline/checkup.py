"""All our own parts, judged: what the page Health and `betterstack doctor` say. Pure; `store.vitals` reads the facts.

`health` says whether checks are made at all; this adds what a person should look at before it comes to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from msgspec import Struct

from pipeline.declared import MOST_PROBERS
from pipeline.health import FRESH, OLD_TABLES, Grade, Health, Part, alive, health, judged, of, prober
from pipeline.schedule import LOOKAHEAD
from pipeline.store.beats import Backlog, WorkerSeen
from pipeline.vocabulary import Region

OVERDUE_S = (5.0, 60.0)  # from here on worth a look, from here on unwell: a check of a short interval is late by then
LATENESS_MS = (500.0, 5_000.0)  # where the autoscaler adds probers; where checks are no longer made
TICKS_WAITING = (5_000, 100_000)  # half a minute and ten minutes of 200 a second
CLOCK_S = (1.0, 5.0)  # the age of a lease, and how late a check may be
NAMED = 5  # of what may be many
DISK_FREE = (0.10, 0.02)
DISK_ENOUGH = 20 * 2**30  # of a large disk a tenth is plenty
ROLLED_WITHIN = timedelta(minutes=10)  # after an hour's end

_OWN_CLOCKS = "Set both by NTP: `timedatectl set-ntp true` on this machine and on the one that runs Postgres."


class Disk(Struct, frozen=True):
    """The file system below the data dir."""

    folder: str
    free_bytes: int
    total_bytes: int


ARCHIVED_WITHIN = timedelta(days=3)  # of today: yesterday is over, and a weekend without us is no harm


class LakeFacts(Struct, frozen=True):
    """Archived days: how many, how large, the last of them, when one was written last, ticks that wait for theirs."""

    days: int
    bytes: int
    last: date
    written_at: datetime
    late: int


class Vitals(Struct, frozen=True, kw_only=True):
    """What was read at `at`. `schema` is the version of the tables; all after it is unknown where that is another."""

    at: datetime
    postgres: str
    answered_ms: float
    started_at: datetime
    clock_ahead_s: float  # Postgres' clock against ours, off by half of `answered_ms` at most
    schema: str | None
    migrated: bool
    pusher_beat: datetime | None = None
    pushed_until: datetime | None = None
    workers: Sequence[WorkerSeen] = ()
    regions: Sequence[Region] = ()
    backlogs: Sequence[Backlog] = ()
    sites: int = 0  # that are there and not paused
    partitions: Sequence[date] = ()  # of today and tomorrow, those that are there
    rolled_from: datetime | None = None  # the oldest hour that is over and not rolled up
    arrears: Mapping[int, datetime] = {}  # by region, from when on slots are still to be sent
    locked: Sequence[str] | None = None  # sites and regions with a secret that the keys at hand do not open
    on_time: Mapping[int, datetime] = {}  # by region, when it was last sampled in time
    lake: LakeFacts | None = None  # None where nothing was archived yet


def checkup(vitals: Vitals, disk: Disk | None = None) -> Health:
    """Every part, in the order in which a check passes them; without tables of ours only what is known then."""
    answers = f"{vitals.postgres}, answers in {vitals.answered_ms:.1f} ms"
    parts = [judged("postgres", answers, since=vitals.started_at)]
    if vitals.migrated:
        parts += [_judged_more(vitals, part) for part in _roles(vitals)]
        parts += [_backlog(vitals), _lateness(vitals), _dead_letters(vitals), _partitions(vitals), _rollups(vitals)]
        parts += [_lake(vitals.at, vitals.lake)] if vitals.lake is not None else []
    else:
        found = f"{OLD_TABLES}: {vitals.schema}" if vitals.schema else "not there yet"
        parts += [_retold(part, found) for part in health(vitals.at, None, [], [], migrated=False).parts]
    if vitals.locked is not None:
        parts.append(_secrets(vitals.locked))
    parts.append(_clocks(vitals))
    if disk is not None:
        parts.append(_disk(disk))
    return of(parts)


def _secrets(locked: Sequence[str]) -> Part:
    means = "The keys that open what sites and regions keep sealed. Without its key a site's checks are not made."
    if not locked:
        return judged("secrets", "each can be opened with the keys at hand", means=means)
    more = f" and {len(locked) - NAMED} more" if len(locked) > NAMED else ""
    todo = [
        "`betterstack secrets status` shows which key is missing: add it to BETTERSTACK_SECRET_KEY after the newest.",
        "Where it is lost: write the secrets of these sites anew. Plain ones are sealed by `betterstack migrate`.",
    ]
    said = f"cannot be opened: {', '.join(locked[:NAMED])}{more}"
    return judged("secrets", said, Grade.UNWELL, means=means, todo=todo)


def _roles(vitals: Vitals) -> Iterable[Part]:
    """The parts of `health`, and those that it leaves out: the supervisor, and regions that others probe."""
    now, workers = vitals.at, vitals.workers
    unwatched = 0 if vitals.regions else vitals.sites
    yield from health(now, vitals.pusher_beat, workers, [], True, vitals.backlogs, unwatched=unwatched).parts
    managed = [region for region in vitals.regions if region.managed]
    if managed:
        yield alive(now, "supervisor", _newest(workers, "supervisor"), Grade.LOOK)
    for region in vitals.regions:
        last = _newest(workers, "prober", region.id)
        yield prober(now, region, last) if region.managed else _elsewhere(now, region, last)


def _judged_more(vitals: Vitals, part: Part) -> Part:
    """Of those that are alive, how far they are."""
    kind, _, key = part.name.partition(" ")
    if part.grade is not Grade.WELL:
        return part
    if kind == "pusher":
        return _pusher(vitals, part)
    if kind == "prober" and part.message == "alive":
        return _probers(vitals, part, key)
    return part


def _pusher(vitals: Vitals, part: Part) -> Part:
    keys = _keys(vitals)
    owed = [keys[number] for number in vitals.arrears if number in keys]
    behind = vitals.at - vitals.pushed_until if vitals.pushed_until else timedelta()
    if owed:
        said = f"still owes checks of {', '.join(owed)}: their part of Redis was away"
        todo = ["It sends them, or accounts for them as unknown, once Redis answers: `betterstack doctor` shows it."]
        return judged(part.name, said, Grade.LOOK, since=min(vitals.arrears.values()), todo=todo)
    if behind > FRESH:
        said = f"alive, and {behind.total_seconds():.0f} s behind the schedule"
        todo = ["It catches up by itself. If it stays behind, see its log: Redis may be full or away."]
        return judged(part.name, said, Grade.LOOK, since=vitals.pushed_until, todo=todo)
    return _retold(part, "alive, on schedule")


def _probers(vitals: Vitals, part: Part, key: str) -> Part:
    region = next(region for region in vitals.regions if region.key == key)
    here = [w for w in vitals.workers if w.role == "prober" and w.region_id == region.id]
    fresh = [worker for worker in here if vitals.at - worker.seen_at <= FRESH]
    since = min(worker.started_at for worker in fresh)
    supervisor = _newest(vitals.workers, "supervisor")
    wanted = supervisor.detail.get("probers", {}).get(key) if supervisor and region.managed else None
    if wanted is None:
        return judged(part.name, f"alive, {len(fresh)} running", since=since)
    said = f"alive, {min(len(fresh), wanted)} of {wanted} running"
    if more := len(fresh) - wanted:  # one that is let go, or that was killed a moment ago
        said += f", and {more} that {'is' if more == 1 else 'are'} ending or gone" if more > 0 else ""
    if len(fresh) >= wanted:
        return judged(part.name, said, since=since)
    todo = ["The supervisor starts what is missing within seconds; its log says why one ends."]
    return judged(part.name, said, Grade.LOOK, since=since, todo=todo)


def _elsewhere(now: datetime, region: Region, last: WorkerSeen | None) -> Part:
    todo = [
        f"`betterstack region join-command {region.key}` here prints what to run on the other machine.",
        "It counts once it has the key that is printed there, which `--rotate` replaces.",
        f"To have it probed from here instead: `betterstack regions edit {region.key} --here`.",
    ]
    part = alive(now, f"prober {region.key}", last, Grade.LOOK)
    if part.grade is Grade.WELL:
        return part
    said = "waits for a prober elsewhere" if last is None else f"{part.message} from elsewhere"
    return judged(part.name, said, Grade.LOOK, since=part.since, todo=todo)


def _backlog(vitals: Vitals) -> Part:
    """What waits in the streams, worst first; what nobody has counted lately is not known."""
    means = (
        "Checks that wait for a prober, and ticks that wait to be recorded. A check that waits too long is not made."
    )
    regions = {region.id: region for region in vitals.regions}
    fresh = [each for each in vitals.backlogs if each.region_id in regions and vitals.at - each.seen_at <= FRESH]
    if not fresh:
        said = "not known: the recorder counts it, and has not" if vitals.regions else "no region, so nothing waits"
        grade = Grade.LOOK if vitals.regions else Grade.WELL
        return judged("backlog", said, grade, means=means, todo=_todo(grade, ["See to the recorder first."]))
    overdue = {each: max(0.0, each.oldest_waiting_s - LOOKAHEAD.total_seconds()) for each in fresh}
    grades = {each: _grade_in(regions[each.region_id], overdue[each], OVERDUE_S) for each in fresh}
    worst = max(fresh, key=lambda each: (list(Grade).index(grades[each]), overdue[each]))
    ticks = sum(each.ticks_waiting for each in fresh)
    said = f"{sum(each.checks_waiting for each in fresh)} checks and {ticks} ticks wait"
    todo, since = [], None
    if grades[worst] is not Grade.WELL:
        region = regions[worst.region_id]
        said += f"; the oldest check is overdue by {_duration(overdue[worst] * 1000)} in {region.key}"
        since = worst.seen_at - timedelta(seconds=overdue[worst])
        todo = _more_probers(vitals, region)
    if ticks >= TICKS_WAITING[0]:
        todo += ["Ticks wait for the recorder: see its log, and whether Postgres is slow."]
    grade = max(grades[worst], _grade(ticks, TICKS_WAITING), key=list(Grade).index)
    return judged("backlog", said, grade, since=since, means=means, todo=todo)


def _lateness(vitals: Vitals) -> Part:
    """How long after its time a check begins; the worst prober of the worst region."""
    means = (
        "How long after its time a check begins. Latencies stay right; what is more than some seconds late is not made."
    )
    late = {
        region: max(found)
        for region in vitals.regions
        if (found := [ms for worker in vitals.workers if (ms := _p95(vitals, worker, region)) is not None])
    }
    if not late:
        return judged("lateness", "nothing was checked lately", means=means)
    worst, ms = max(late.items(), key=lambda item: item[1])
    grade = _grade_in(worst, ms, LATENESS_MS)
    said = f"95 of 100 checks begin within {_duration(ms)}" + (f", in {worst.key}" if len(late) > 1 else "")
    since = vitals.on_time.get(worst.id) if grade is not Grade.WELL else None
    return judged("lateness", said, grade, since=since, means=means, todo=_todo(grade, _more_probers(vitals, worst)))


def _more_probers(vitals: Vitals, region: Region) -> list[str]:
    """What to do where a region's checks are late."""
    key = region.key
    here = [w for w in vitals.workers if w.role == "prober" and w.region_id == region.id]
    if not any(vitals.at - worker.seen_at <= FRESH for worker in here):
        return [f"{key} has no prober: see “prober {key}”."]
    if not region.managed:
        return [f"Start more probers on its machine, each with `betterstack prober --region {key}`."]
    most = min(2 * region.max_probers, MOST_PROBERS)
    return [
        f"Up to {region.max_probers} start by themselves. More: `betterstack regions edit {key} --max-probers {most}`.",
        f"If this machine is too small or busy, probe from another: `betterstack regions edit {key} --elsewhere`.",
    ]


def _p95(vitals: Vitals, worker: WorkerSeen, region: Region) -> float | None:
    mine = worker.role == "prober" and worker.region_id == region.id and vitals.at - worker.seen_at <= FRESH
    ms = worker.detail.get("lateness_p95_ms") if mine else None
    return float(ms) if isinstance(ms, int | float) else None


def _dead_letters(vitals: Vitals) -> Part:
    """What is kept aside, as `doctor` counts it, and what came of it, as the recorders count since they started."""
    means = "Entries that nobody could read or believe, kept aside. A check among them left its slot unknown (poison)."
    keys = _keys(vitals)
    kept = {keys[b.region_id]: b.dead_letters for b in vitals.backlogs if b.region_id in keys and b.dead_letters}
    fresh = [w for w in vitals.workers if w.role == "recorder" and vitals.at - w.seen_at <= FRESH]
    poison: dict[str, int] = {}
    for worker in fresh:
        for key, outcomes in worker.detail.get("outcomes", {}).items():
            poison[key] = poison.get(key, 0) + int(outcomes.get("poison", 0))
    poison = {key: count for key, count in poison.items() if count}
    since = min((worker.started_at for worker in fresh), default=None)
    if not kept and not poison:
        return judged("dead letters", "none", since=since, means=means)
    where = [f"{count} in {key}" for key, count in sorted(kept.items())]
    where += [f"{count} checks of {key} came out as poison" for key, count in sorted(poison.items())]
    todo = [
        "A prober older than this version cannot read its checks: upgrade those that run elsewhere.",
        "Each letter carries its reason: `betterstack doctor` says how to look at them, and how to be rid of them.",
    ]
    return judged("dead letters", ", ".join(where), Grade.LOOK, since=since, means=means, todo=todo)


def _partitions(vitals: Vitals) -> Part:
    means = "Each UTC day's ticks have a table of their own, made ahead. Without today's nothing can be recorded."
    today = vitals.at.date()
    missing = [
        name
        for name, day in (("today", today), ("tomorrow", today + timedelta(days=1)))
        if day not in vitals.partitions
    ]
    if not missing:
        return judged("partitions", "today's and tomorrow's are there", means=means)
    grade = Grade.UNWELL if "today" in missing else Grade.LOOK
    todo = ["The roller makes them as it starts and every hour: see its log, or restart it: `betterstack roller`."]
    return judged("partitions", f"missing for {' and '.join(missing)}", grade, means=means, todo=todo)


def _rollups(vitals: Vitals) -> Part:
    means = "Hours and days as the charts of 7 days, uptime and reports read them. Older ones only make those lag."
    oldest = vitals.rolled_from
    if oldest is None or vitals.at - (oldest + timedelta(hours=1)) <= ROLLED_WITHIN:
        return judged("rollups", "every hour that is over is rolled up", means=means)
    todo = ["The roller takes what is over every 5 s: see its log for what it fails at, or restart it."]
    said = f"hours since {oldest:%d %b %H:%M} UTC are not rolled up"
    return judged("rollups", said, Grade.LOOK, since=oldest + timedelta(hours=1), means=means, todo=todo)


def _lake(now: datetime, lake: LakeFacts) -> Part:
    means = "Old ticks, as Parquet files: days go there once they are over, and leave Postgres later, verified."
    said = f"{lake.days} {'day' if lake.days == 1 else 'days'}, {lake.bytes / 1e6:.1f} MB, to {lake.last:%d %b}"
    said += f"; {lake.late} late ticks wait" if lake.late else ""
    if now.date() - lake.last <= ARCHIVED_WITHIN:
        return judged("lake", said, since=lake.written_at, means=means)
    todo = [
        "The roller archives every ten minutes: its log says what it fails at. Ticks stay in Postgres meanwhile.",
        "`betterstack lake archive` does it now, and says what is in the way.",
    ]
    return judged("lake", f"{said}, and no day since", Grade.LOOK, since=lake.written_at, means=means, todo=todo)


def _clocks(vitals: Vitals) -> Part:
    means = "Postgres' clock against this machine's. Where they differ, what is fresh is judged wrongly."
    off_s = vitals.clock_ahead_s
    if abs(off_s) <= vitals.answered_ms / 2000 or abs(off_s) < 0.01:
        return judged("clocks", "agree", means=means)
    grade = _grade(abs(off_s), CLOCK_S)
    where = "ahead of" if off_s > 0 else "behind"
    said = f"Postgres' is {_duration(abs(off_s) * 1000)} {where} ours"
    return judged("clocks", said, grade, means=means, todo=_todo(grade, [_OWN_CLOCKS]))


def _disk(disk: Disk) -> Part:
    means = "Where the data dir lies. Postgres stops when it is full."
    share = disk.free_bytes / disk.total_bytes if disk.total_bytes else 0.0
    grade = Grade.WELL if disk.free_bytes >= DISK_ENOUGH else _grade(-share, (-DISK_FREE[0], -DISK_FREE[1]))
    said = f"{disk.free_bytes / 2**30:.1f} GiB free of {disk.total_bytes / 2**30:.1f}, at {disk.folder}"
    todo = [
        f"Make room: `du -sh {disk.folder}/*` shows what is large; backups of former versions may go.",
        "Or move it: stop `betterstack up`, move the folder, start it with `--data-dir`.",
    ]
    return judged("disk", said, grade, means=means, todo=_todo(grade, todo))


def _newest(workers: Iterable[WorkerSeen], role: str, region_id: int | None = None) -> WorkerSeen | None:
    seen = (w for w in workers if w.role == role and (region_id is None or w.region_id == region_id))
    return max(seen, key=lambda worker: worker.seen_at, default=None)


def _keys(vitals: Vitals) -> dict[int, str]:
    return {region.id: region.key for region in vitals.regions}


def _grade(value: float, limits: tuple[float, float]) -> Grade:
    return Grade.UNWELL if value >= limits[1] else Grade.LOOK if value >= limits[0] else Grade.WELL


def _grade_in(region: Region, value: float, limits: tuple[float, float]) -> Grade:
    """A region whose probers run elsewhere is somebody else's: what they miss is worth a look, no more."""
    grade = _grade(value, limits)
    return grade if region.managed or grade is Grade.WELL else Grade.LOOK


def _todo(grade: Grade, todo: Sequence[str]) -> Sequence[str]:
    """Whoever is well has nothing to do."""
    return () if grade is Grade.WELL else todo


def _duration(ms: float) -> str:
    if ms >= 120_000:
        return f"{ms / 60_000:.0f} min"
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"


def _retold(part: Part, message: str) -> Part:
    return judged(part.name, message, part.grade, since=part.since, todo=part.todo)
