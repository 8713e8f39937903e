"""What there was to see when an attempt did not come out `ok`: bounded, readable, without the site's secrets. Pure.

Made from what the trace refers to, after the attempt: an attempt that is `ok` pays nothing for it.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence

from pipeline.vocabulary import Hop, Network, Outcome, Probe, Snapshot, Spec
from workers.probes.certificates import summary
from workers.probes.cutting import CUT, Cutter, is_telling, private_texts
from workers.probes.expect import in_short
from workers.probes.requests import port_of, shown
from workers.probes.trace import Response, Trace

log = logging.getLogger(__name__)

BODY = 2048  # letters of the body, from as many bytes: what a person reads of an error page
HEADERS, HEADER_NAME, HEADER_VALUE = 50, 100, 300  # a browser's answer has some 20 to 30
PROBLEMS, PROBLEM = 20, 300
URL = 200
STATUS_LINE = 200
UNREADABLE = 0.2  # above this share of letters that are none, a body is bytes
BYTES_SHOWN = 32
NO_LETTER = "\N{REPLACEMENT CHARACTER}"

# Outcomes that speak of an answer which came; all others of what it did not come to.
ANSWERED = frozenset(
    {Outcome.SLOW, Outcome.EXPIRING, Outcome.REDIRECT, Outcome.STATUS, Outcome.CONTENT, Outcome.TOO_LARGE}
)
POINTING = frozenset({"location", "content-location", "refresh"})  # their values may be half a URL
QUERY, USER = re.compile(r"[?#][^\s>;,\"]*"), re.compile(r"//[^/\s@]*@")


def seen(trace: Trace, spec: Spec, network: Network, outcome: Outcome, problems: Sequence[str]) -> Probe:
    """The probe of an attempt that is over; with what there was to see where it is not `ok`."""
    expires_at = trace.expires_at()
    port = port_of(trace.url) if trace.hops and trace.url is not None else None
    if outcome is Outcome.OK:
        return trace.probe(outcome, expires_at=expires_at, port=port)
    try:
        snapshot = taken(trace, spec, network, outcome, problems)
    except Exception:  # the failure is the site's all the same
        log.exception("no snapshot", extra={"action": "snapshot_failed"})
        return trace.probe(outcome, expires_at=expires_at, port=port)
    # The sentences of its problems may quote the server, and it us.
    return trace.probe(outcome, in_short(snapshot.problems), expires_at=expires_at, snapshot=snapshot, port=port)


def taken(trace: Trace, spec: Spec, network: Network, outcome: Outcome, problems: Sequence[str]) -> Snapshot:
    """What the attempt saw. `problems` are all expectations that failed, or what it ended on."""
    tls, answer = trace.tls, trace.answer
    leaf = tls.leaf() if tls is not None else None
    snapshot = Snapshot(
        phase="answer" if outcome in ANSWERED else trace.reached or "dns",
        problems=tuple(problems[:PROBLEMS]),
        hops=tuple(_hops(trace)),
        tls=tls.agreed() if tls is not None else None,
        certificate=summary(leaf) if leaf is not None else None,
        status_line=_status_line(answer) if answer is not None else None,
        headers=tuple(_headers(answer.headers)) if answer is not None else (),
        body=_body(answer) if answer is not None else None,
    )
    return _cut(snapshot, Cutter(private_texts(spec, network)))


def _cut(whole: Snapshot, cutter: Cutter) -> Snapshot:
    """The snapshot without secrets, and only then without what is too long: half a secret is one, too."""
    cutter.look("\n".join(_texts(whole)))
    cut = cutter.cut
    return Snapshot(
        phase=whole.phase,
        problems=tuple(cut(problem)[:PROBLEM] for problem in whole.problems),
        hops=tuple(Hop(cut(hop.url)[:URL], hop.ip, hop.status) for hop in whole.hops),
        tls=whole.tls,
        certificate=whole.certificate,
        status_line=cut(whole.status_line)[:STATUS_LINE] if whole.status_line is not None else None,
        headers=tuple((cut(name)[:HEADER_NAME], cut(value)[:HEADER_VALUE]) for name, value in whole.headers),
        body=cutter.cut_start(whole.body)[:BODY] if whole.body is not None else None,
    )


def _texts(whole: Snapshot) -> Iterator[str]:
    yield from whole.problems
    yield from (hop.url for hop in whole.hops)
    yield whole.status_line or ""
    yield from (f"{name}: {value}" for name, value in whole.headers)
    yield whole.body or ""


def _hops(trace: Trace) -> Iterator[Hop]:
    for hop in trace.hops:
        yield Hop(shown(hop.url), hop.ip, hop.status)
    if trace.url is not None:
        looked_up = trace.reached not in (None, "dns")
        yield Hop(shown(trace.url), trace.ip if looked_up else None, trace.status)


def _status_line(answer: Response) -> str | None:
    if not answer.status:
        return None
    return f"HTTP/{answer.version} {answer.status} {_latin(answer.reason)}".rstrip()


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    for (raw_name, raw_value), _ in zip(headers, range(HEADERS), strict=False):
        name, value = _latin(raw_name), _latin(raw_value)
        lowered = name.lower()
        if is_telling(lowered):
            value = CUT
        elif lowered in POINTING or "://" in value:
            value = QUERY.sub(f"?{CUT}", USER.sub("//", value))
        yield name, value


def _latin(raw: bytes) -> str:
    """A head as text: UTF-8 where it is that, else the Latin-1 of old."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _body(answer: Response) -> str | None:
    if not answer.start:
        return None
    # Loaded with the first body that anybody looks at.
    from workers.probes.body import UnreadableBodyError, text_of, unpacked

    named = {name.lower(): value.lower() for name, value in answer.headers}
    raw = answer.start
    with contextlib.suppress(UnreadableBodyError):  # then it is shown as it came
        raw, _ = unpacked(raw, _latin(named.get(b"content-encoding", b"")), whole=False, limit=BODY)
    text = text_of(raw, _latin(named.get(b"content-type", b"")), whole=False)
    if len(answer.start) >= BODY:
        text = text.rstrip(NO_LETTER)  # the last one was cut in two
    strange = sum(letter == NO_LETTER or letter < "\t" for letter in text)
    if strange > UNREADABLE * len(text):
        more = " …" if len(raw) > BYTES_SHOWN else ""
        return f"(bytes) {raw[:BYTES_SHOWN].hex(' ')}{more}"
    return text
