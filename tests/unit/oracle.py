"""What the spans must be, written down plainly: every moment at which anything may change is looked at by itself.

Slow on purpose, without frames and without a line of the code that it is held against. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

KNOWN = ("up", "degraded", "down")
JUST_BEFORE = 1e-4


class Slot(NamedTuple):
    """A slot's tick: the lowest final attempt of a scheduled check."""

    site: int
    region: int
    at: float
    state: str
    interval_s: float = 60


class Edit(NamedTuple):
    """From `at` on checks are called for, or not."""

    site: int
    region: int
    at: float
    active: bool


class Period(NamedTuple):
    """A time that is overridden; None stands for every site, every region."""

    site: int | None
    region: int | None
    since: float
    until: float


class Span(NamedTuple):
    """What held when; edges as in frame SITE_SPANS."""

    state: str
    since: float
    until: float
    down: int
    known: int
    regions: int
    began_after: float | None
    ended_after: float | None


def held(slots: Collection[Slot], site: int, region: int, at: float) -> Slot | None:
    """The slot whose state a region holds at a time."""
    before = [slot for slot in slots if (slot.site, slot.region) == (site, region) and slot.at <= at]
    last = max(before, key=lambda slot: slot.at, default=None)
    return last if last and at < last.at + 2 * last.interval_s else None


def called(edits: Sequence[Edit], site: int, region: int, at: float) -> bool:
    """Whether the last edit up to a time calls for checks; of those of one moment the later counts."""
    before = [edit for edit in edits if (edit.site, edit.region) == (site, region) and edit.at <= at]
    return bool(before) and max(enumerate(before), key=lambda pair: (pair[1].at, pair[0]))[1].active


def within(periods: Collection[Period], site: int, region: int, at: float) -> bool:
    return any(
        p.site in (None, site) and p.region in (None, region) and p.since <= at < p.until for p in periods
    )  # fmt: skip


def verdict(votes: Collection[str]) -> str:
    """The rule in words: a majority of those who know, at least two where there are two; else nobody knows."""
    known = [vote for vote in votes if vote in KNOWN]
    needed = 1 if len(votes) == 1 else 2
    if len(known) < needed:
        return "unknown"
    downs = known.count("down")
    if downs >= needed and 2 * downs > len(known):
        return "down"
    return "degraded" if downs or "degraded" in known else "up"


class History(NamedTuple):
    """All that is to be known of some sites."""

    slots: Sequence[Slot]
    edits: Sequence[Edit]
    suspect: Sequence[Period]
    since: float
    until: float

    def said(self, site: int, region: int, at: float) -> str | None:
        """What a region votes; None where it has no vote."""
        if not self.since <= at < self.until or not called(self.edits, site, region, at):
            return None
        slot = held(self.slots, site, region, at)
        return "unknown" if slot is None or within(self.suspect, site, region, at) else slot.state

    def votes(self, site: int, at: float) -> dict[int, str]:
        regions = sorted({edit.region for edit in self.edits if edit.site == site})
        said = {region: self.said(site, region, at) for region in regions}
        return {region: state for region, state in said.items() if state is not None}

    def moments(self) -> list[float]:
        """Every time at which anything may change."""
        times = {self.since, self.until, *(edit.at for edit in self.edits)}
        times |= {slot.at for slot in self.slots} | {slot.at + 2 * slot.interval_s for slot in self.slots}
        times |= {at for period in self.suspect for at in (period.since, period.until)}
        return sorted(at for at in times if self.since <= at <= self.until)

    def spans(self, site: int) -> list[Span]:
        """A site's spans in their order."""
        pieces = [
            (verdict(votes.values()), since, until, votes)
            for since, until in pairwise(self.moments())
            if (votes := self.votes(site, since))
        ]
        runs: list[tuple[str, float, float, dict[int, str]]] = []
        for state, since, until, votes in pieces:
            if runs and runs[-1][0] == state and runs[-1][2] == since:
                runs[-1] = (state, runs[-1][1], until, runs[-1][3])
            else:
                runs.append((state, since, until, votes))
        return [self._span(site, place, runs) for place in range(len(runs))]

    def _span(self, site: int, place: int, runs: list[tuple[str, float, float, dict[int, str]]]) -> Span:
        state, since, until, votes = runs[place]
        comes_after = place > 0 and runs[place - 1][2] == since and runs[place - 1][0] in KNOWN
        goes_on = place + 1 < len(runs) and runs[place + 1][1] == until
        began = [slot.at for before, slot in self._flips(site, since) if before in KNOWN]
        ended = [slot.at for _, slot in self._flips(site, until)]
        seen = list(votes.values())
        return Span(
            state,
            since,
            until,
            seen.count("down"),
            sum(vote in KNOWN for vote in seen),
            len(seen),
            min(began, default=None) if comes_after else None,
            min(ended, default=None) if goes_on else None,
        )

    def _flips(self, site: int, at: float) -> Iterator[tuple[str, Slot]]:
        """What each region that changes its mind at a time said before, and the last slot that said so."""
        for region, now in self.votes(site, at).items():
            before = self.said(site, region, at - JUST_BEFORE)
            slot = held(self.slots, site, region, at - JUST_BEFORE)
            believed = not any(within(self.suspect, site, region, when) for when in (at, at - JUST_BEFORE))
            if before is not None and before != now and slot is not None and believed:
                yield before, slot


# What each letter of a minute was, attempt by attempt: `r` failed at first, and was up when it was confirmed.
ATTEMPTS = {
    ".": ("up",),
    "~": ("degraded",),
    "x": ("down", "down"),
    "r": ("down", "up"),
    "?": ("unknown",),
    " ": (),
}


class Choices(Protocol):
    """What a policy says, as far as it is about states, retries and regions."""

    @property
    def base(self) -> str: ...
    @property
    def retries(self) -> str: ...
    @property
    def regions(self) -> str: ...
    @property
    def degraded(self) -> float: ...
    @property
    def partial(self) -> float: ...
    @property
    def unknown(self) -> float | None: ...
    @property
    def maintenance(self) -> object: ...
    @property
    def last(self) -> int | None: ...


class Accounted(NamedTuple):
    """Shares of one, None where there is nothing to divide by."""

    uptime: float | None
    low: float | None
    high: float | None
    coverage: float | None


def accounted(seen: Sequence[str], maintained: int, policy: Choices) -> Accounted:
    """A site's uptime as a policy has it: a letter a minute and region, the first minutes maintenance."""
    up = down = unknown = 0.0
    for weight, states, minute in _counted(seen, policy):
        good, known = _worth(states, policy)
        if minute < maintained and policy.maintenance is None:
            continue
        if minute < maintained and policy.maintenance != "counted":
            good, known = float(str(policy.maintenance)), 1.0
        elif not states:
            continue
        up, down, unknown = up + weight * good, down + weight * (known - good), unknown + weight * (1 - known)
    whole = up + down + unknown
    assumed = 0.0 if policy.unknown is None else unknown
    counted = up + down + assumed
    return Accounted(
        (up + (policy.unknown or 0.0) * assumed) / counted if counted else None,
        up / whole if whole else None,
        (up + unknown) / whole if whole else None,
        (up + down) / whole if whole else None,
    )


def _counted(seen: Sequence[str], policy: Choices) -> Iterator[tuple[float, list[str], int]]:
    """What is counted: its weight, what the regions said there, and its minute."""
    minutes = [minute for letters in seen for minute, letter in enumerate(letters) if letter != " "]
    if policy.base == "seconds":
        for minute in range(min(minutes), max(minutes) + 1):
            there = [letters[minute] for letters in seen if minute < len(letters)]
            yield 60, [ATTEMPTS[letter][-1] for letter in there if letter != " "], minute
        return
    checks = []
    for region, letters in enumerate(seen):
        for minute, letter in enumerate(letters):
            tried = list(enumerate(ATTEMPTS[letter]))
            chosen = {"every": tried, "first": tried[:1], "confirmed": tried[-1:]}[policy.retries]
            checks += [(-minute, -attempt, region, state) for attempt, state in chosen]
    newest = sorted(checks)[: policy.last]
    if policy.regions == "mean" and policy.base == "checks":
        yield from ((1, [state], -minute) for minute, _, _, state in newest)
        return
    for minute in {check[0] for check in newest}:
        states = [state for at, _, _, state in newest if at == minute]
        yield len(states) if policy.base == "checks" else 1, states, -minute


def _worth(states: Sequence[str], policy: Choices) -> tuple[float, float]:
    """(share that was up, share that is known)."""
    known = [state for state in states if state in KNOWN]
    if not known:
        return 0.0, 0.0
    if policy.regions == "mean":
        up = sum({"up": 1.0, "degraded": policy.degraded, "down": 0.0}[state] for state in known)
        return up / len(states), len(known) / len(states)
    down = known.count("down")
    if policy.regions == "quorum":
        told = verdict(states)
        failed, slow = told == "down", "degraded" in known
        if told == "unknown":
            return 0.0, 0.0
    elif policy.regions == "any":
        failed, slow = down == len(known), "up" not in known
    else:
        failed, slow = down > 0, "degraded" in known
    if failed:
        return 0.0, 1.0
    return (policy.partial if down else policy.degraded if slow else 1.0), 1.0
