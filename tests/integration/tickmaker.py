"""Ticks out of a seed: late, repeated, confirmed, refuted, replaced, with intervals that change."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from pipeline.vocabulary import OUTCOME_CODES, STATE_OF, Kind, Outcome, Phases, Source, State, Tick

INTERVALS = (5, 60, 60, 600, 3600, 86_400)
OUTCOMES = list(OUTCOME_CODES)


def tick(at: datetime, outcome: Outcome = Outcome.OK, *, interval_s: int = 60, site: int = 1, region: int = 1) -> Tick:
    """A prober's first and final attempt."""
    latency_ms = None if STATE_OF[outcome] is State.UNKNOWN else 20.0 + at.second
    return Tick(
        site,
        region,
        at,
        0,
        at,
        outcome,
        True,
        interval_s,
        1,
        "test",
        phases=Phases(1, 2, 3, 4, 5),
        latency_ms=latency_ms,
    )


def some_slots(random: Random, since: datetime, hours: int, count: int, sites: int = 3) -> list[Tick]:
    """`count` slots anywhere in the window with all their attempts, in no order."""
    found = []
    for _ in range(count):
        at = since + timedelta(seconds=random.randrange(hours * 3600), microseconds=random.randrange(1000) * 1000)
        found += _slot(random, at, site=random.randint(1, sites), region=random.randint(1, 2))
    random.shuffle(found)
    return found


def _slot(random: Random, at: datetime, *, site: int, region: int) -> list[Tick]:
    interval_s, attempts = random.choice(INTERVALS), random.choice((1, 1, 1, 2, 3))
    ticks = []
    for attempt in range(attempts):
        last = attempt == attempts - 1
        outcome = random.choice(OUTCOMES) if last else Outcome.TIMEOUT
        unknown = STATE_OF[outcome] is State.UNKNOWN
        ticks.append(
            Tick(
                site,
                region,
                at,
                attempt,
                at,
                outcome,
                last,
                interval_s,
                1,
                "test",
                latency_ms=None if unknown else random.lognormvariate(4, 1),
                trusted=random.random() > 0.1,
                kind=Kind.MANUAL if random.random() < 0.05 else Kind.SCHEDULED,
                source=Source.RECONCILER if unknown and random.random() < 0.5 else Source.PROBER,
            )
        )
    return ticks
