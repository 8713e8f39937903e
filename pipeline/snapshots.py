"""Snapshots as plain values, and what is sound of one. Pure.

Whoever holds a region's join command may send what he likes: texts are cleaned and cut, lists bounded, times in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from pipeline.vocabulary import Certificate, Hop, Snapshot, storable

PHASES = ("dns", "connect", "tls", "ttfb", "transfer", "answer")
# The prober's own bounds (`workers.probes.snapshot`), and room for what they may become.
LINE, BODY, URL, WORDS, NAME = 300, 2_048, 200, 200, 100
PROBLEMS, HOPS, HEADERS, NAMES = 20, 31, 50, 8


def sound(snapshot: Snapshot) -> Snapshot:
    """The snapshot with texts that every wire and store takes, and not more of them than a prober of ours sends."""
    return Snapshot(
        phase=snapshot.phase if snapshot.phase in PHASES else PHASES[0],
        problems=tuple(storable(problem, LINE) for problem in snapshot.problems[:PROBLEMS]),
        hops=tuple(
            Hop(storable(hop.url, URL), _text(hop.ip, NAME), _status(hop.status)) for hop in snapshot.hops[:HOPS]
        ),
        tls=_text(snapshot.tls, NAME),
        certificate=None if snapshot.certificate is None else _certificate(snapshot.certificate),
        status_line=_text(snapshot.status_line, WORDS),
        headers=tuple((storable(name, NAME), storable(value, LINE)) for name, value in snapshot.headers[:HEADERS]),
        body=_text(snapshot.body, BODY),
    )


def as_plain(snapshot: Snapshot) -> dict[str, Any]:
    """What JSON takes; every part under its name."""
    plain = structs.asdict(snapshot)
    plain["problems"] = list(snapshot.problems)
    plain["headers"] = [list(header) for header in snapshot.headers]
    plain["hops"] = [structs.asdict(hop) for hop in snapshot.hops]
    if (certificate := snapshot.certificate) is not None:
        times = {"not_before": certificate.not_before.isoformat(), "not_after": certificate.not_after.isoformat()}
        plain["certificate"] = structs.asdict(certificate) | {"names": list(certificate.names)} | times
    return plain


def from_plain(plain: dict[str, Any]) -> Snapshot:
    """The snapshot that `as_plain` made this of."""
    certificate = plain["certificate"]
    return Snapshot(
        phase=plain["phase"],
        problems=tuple(plain["problems"]),
        hops=tuple(Hop(**hop) for hop in plain["hops"]),
        tls=plain["tls"],
        certificate=None
        if certificate is None
        else Certificate(
            subject=certificate["subject"],
            issuer=certificate["issuer"],
            names=tuple(certificate["names"]),
            not_before=datetime.fromisoformat(certificate["not_before"]),
            not_after=datetime.fromisoformat(certificate["not_after"]),
            sha256=certificate["sha256"],
        ),
        status_line=plain["status_line"],
        headers=tuple((name, value) for name, value in plain["headers"]),
        body=plain["body"],
    )


def _certificate(shown: Certificate) -> Certificate | None:
    """Nothing where it names times without their zone: nobody could say how many days are left."""
    if shown.not_before.tzinfo is None or shown.not_after.tzinfo is None:
        return None
    try:
        times = shown.not_before.astimezone(UTC), shown.not_after.astimezone(UTC)
    except OverflowError:
        return None
    names = tuple(storable(name, WORDS) for name in shown.names[:NAMES])
    return Certificate(
        storable(shown.subject, WORDS), storable(shown.issuer, WORDS), names, *times, storable(shown.sha256, NAME)
    )


def _text(text: str | None, letters: int) -> str | None:
    return None if text is None else storable(text, letters)


def _status(status: int | None) -> int | None:
    return status if status is not None and 0 <= status < 1000 else None
