"""What a check saw of a failure, for a terminal: its way, the certificate, the answer."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.vocabulary import Certificate, Snapshot

BODY_LINES, LINE = 12, 160  # of some 2 KB: enough to know an error page by
NAMES = 4


def parts(snapshot: Snapshot | None) -> Iterator[tuple[str, list[str]]]:
    """Title and lines of each part that there was to see. Nothing in them is obeyed by a terminal."""
    if snapshot is None:
        return
    if len(snapshot.hops) > 1:
        yield "Redirects", [clean(f"{hop.status or '-'}  {hop.url}") for hop in snapshot.hops]
    if snapshot.certificate is not None:
        yield "Certificate", list(_certificate(snapshot.certificate, snapshot.tls))
    head = [snapshot.status_line, *(f"{name}: {value}" for name, value in snapshot.headers)]
    if any(head):
        yield "Answer", [clean(line) for line in head if line]
    if snapshot.body and snapshot.body.strip():
        yield "Body, its beginning", list(_body(snapshot.body))


def clean(text: str) -> str:
    """One line that a terminal shows and does not obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _certificate(leaf: Certificate, tls: str | None) -> Iterator[str]:
    more = f" and {len(leaf.names) - NAMES} more" if len(leaf.names) > NAMES else ""
    yield clean(f"for {', '.join(leaf.names[:NAMES]) or leaf.subject or 'no name'}{more}")
    yield f"from {leaf.not_before:%Y-%m-%d} until {leaf.not_after:%Y-%m-%d}"
    yield clean(f"issued by {leaf.issuer or 'nobody'}")
    if tls:
        yield clean(f"over {tls}")


def _body(body: str) -> Iterator[str]:
    lines = body.expandtabs(4).strip().splitlines()
    for line in lines[:BODY_LINES]:
        yield clean(line if len(line) <= LINE else f"{line[:LINE]} …")
    if len(lines) > BODY_LINES:
        yield "…"
