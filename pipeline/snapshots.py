"""Snapshots as plain values, which is how they are stored and sent, and back. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import structs

from pipeline.vocabulary import Certificate, Hop, Snapshot


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
