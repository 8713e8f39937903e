"""What strangers send, as every wire and store takes it: texts cleaned and cut, lists bounded, times in UTC. Pure.

A hostile site may send anything, and so may whoever holds a region's join command.
"""

from __future__ import annotations

from datetime import UTC

from msgspec import structs

from pipeline.vocabulary import Certificate, Hop, Snapshot, Tick

PHASES = ("dns", "connect", "tls", "ttfb", "transfer", "answer")
NAME, DETAIL = 100, 1_000  # letters of a tick's texts; a longer one is cut
# Of a snapshot: the prober's own bounds (`workers.probes.snapshot`), and room for what they may become.
LINE, BODY, URL, WORDS = 300, 2_048, 200, 200
PROBLEMS, HOPS, HEADERS, NAMES = 20, 31, 50, 8


def cleaned(tick: Tick) -> Tick:
    """The tick with text that every wire and store takes: no NUL, no lone surrogate, not without an end."""
    if tick.snapshot is not None:
        tick = structs.replace(tick, snapshot=sound(tick.snapshot))
    if _is_clean(tick.prober, NAME) and _is_clean(tick.ip, NAME) and _is_clean(tick.detail, DETAIL):
        return tick
    return structs.replace(
        tick, prober=storable(tick.prober, NAME), ip=_text(tick.ip, NAME), detail=_text(tick.detail, DETAIL)
    )


def _is_clean(text: str | None, letters: int) -> bool:
    """Quickly, for every tick passes here twice; a sound text that is not ASCII comes out of the slow way as it was."""
    return text is None or (len(text) <= letters and text.isascii() and "\x00" not in text)


def storable(text: str, letters: int) -> str:
    """The text as every wire and store takes it, and at most so many letters of it."""
    kept = text[: letters + 1].replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return kept if len(kept) <= letters else kept[: letters - 1] + "\u2026"


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
