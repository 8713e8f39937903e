"""httpx's face over our own socket: one fresh HTTP/1.1 connection a request, every part of the answer bounded."""

from __future__ import annotations

import errno
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httptools
import httpx

from pipeline.vocabulary import Network, Outcome
from workers.probes.connection import Stream
from workers.probes.network import DIALER, Dialer
from workers.probes.proxy import proxy_authorization
from workers.probes.secure import reason_of
from workers.probes.trace import ProbeError, Trace

HEAD_LIMIT = 64 * 1024  # all heads of an answer, 1xx included: servers stop at 8-32 KiB, and a browser at 256
INFORMATIONAL_LIMIT = 16  # 100 and 103 come once or twice; a flood of them never ends
FRAMING_LIMIT = 1024 * 1024  # chunk sizes, extensions and trailers: the body's own bytes are the reader's to bound
REASON_KEPT = 200  # bytes of the status line, for a snapshot …
START_KEPT = 2048  # … and of the body: what a person reads of an error page

OTHERS = (b"R", b"I")  # how an answer begins that the parser takes for its own, and is none of HTTP's

SWITCHING_PROTOCOLS = 101
FIRST_FINAL_STATUS = 200
BODILESS = (204, 304)


class OneShotTransport(httpx.AsyncBaseTransport):
    """A connection of its own for each request.

    A request's extensions may bring `dialer`, `network`, `trace`, `spec` with `own` (as `Dialer.dial` takes them) and
    `head` (the encoded request, where the caller keeps it); the response's hold `trace` (phases, peer address, bytes)
    and `answer`. Failures are `ProbeError`.
    """

    def __init__(self, dialer: Dialer = DIALER, network: Network | None = None) -> None:
        self._dialer = dialer
        self._network = network or Network()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        given = request.extensions
        network: Network = given.get("network", self._network)
        trace: Trace = given.get("trace") or Trace()
        dialer: Dialer = given.get("dialer", self._dialer)
        head: bytes = given.get("head") or encode(request, network.proxy)
        trace.dialing()
        stream = await dialer.dial(request.url, network, trace, given.get("spec"), own=given.get("own", True))
        trace.answer = answer = Answer(stream, trace, head_only=request.method == "HEAD")
        try:
            trace.enter("ttfb")
            await answer.ask(head)
        except BaseException:
            answer.close()
            raise
        return httpx.Response(
            answer.status, headers=answer.headers, stream=answer, extensions={"trace": trace, "answer": answer}
        )


def encode(request: httpx.Request, proxy: str | None = None) -> bytes:
    """The request as bytes; in absolute form, with the proxy's credentials, where a proxy is to forward it."""
    target, authorization = request.url.raw_path, b""
    if proxy is not None and request.url.scheme == "http":
        target = b"http://" + request.url.netloc + target
        authorization = proxy_authorization(httpx.URL(proxy))
    lines = [request.method.encode("ascii"), b" ", target, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        if b"\n" in value or b"\r" in value or b"\0" in value:
            raise ValueError(f"The header {name.decode('ascii', 'replace')} holds a line break")
        lines += (name, b": ", value, b"\r\n")
    return b"".join((*lines, authorization, b"\r\n", request.content))


class Answer(httpx.AsyncByteStream):
    """Reads one final response off a stream; iterating it yields the raw body. httptools calls the `on_` methods."""

    def __init__(self, stream: Stream, trace: Trace, *, head_only: bool) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.reason = self.start = b""
        self.version = ""  # `1.1` or `1.0`, as it says
        self._stream = stream
        self._trace = trace
        self._head_only = head_only
        self._chunks: list[bytes] = []
        self._received = self._body_bytes = self._informational = 0
        self._head_done = self._complete = False
        self._length: bytes | None = None
        self._chunked = False
        self._parser: Any = httptools.HttpResponseParser(self)
        # Nobody reuses this connection, so a sloppy answer that every browser takes cannot be smuggled into another.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_transfer_encoding=True,
            lenient_data_after_close=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    async def ask(self, request: bytes) -> None:
        """Send the request and read up to the end of the final head."""
        try:
            await self._stream.send(request)
            while not self._head_done:
                await self._more()
        except OSError as error:
            raise _broken(error, "before it answered") from error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._chunks or not self._complete:
            chunks, self._chunks = self._chunks, []
            for chunk in chunks:
                yield chunk
            if not self._complete:
                await self._more_body()

    async def drain(self, limit: int) -> None:
        """Read the body and forget it; stop after `limit` bytes of it."""
        while not self._complete and self._body_bytes < limit:
            await self._more_body()
            self._chunks.clear()

    async def keep(self, limit: int, kept: int) -> bytes:
        """Read the body, stop after `limit` bytes of it, and return the first `kept` of them."""
        body = bytearray()
        while True:
            for chunk in self._chunks:
                body += chunk[: max(0, kept - len(body))]
            self._chunks.clear()
            if self._complete or self._body_bytes >= limit:
                return bytes(body)
            await self._more_body()

    @property
    def whole(self) -> bool:
        """Whether the body was read to its end."""
        return self._complete

    async def _more_body(self) -> None:
        try:
            await self._more()
        except OSError as error:
            raise _broken(error, f"after {self._body_bytes} bytes of the body") from error

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        # The parser holds us and we it; a circle would keep a connection's 100 KB of TLS until a collection finds it.
        self._parser = None

    async def _more(self) -> None:
        data = await self._stream.read()
        at = self._stream.received_at
        if not data:
            self._end()
            # Since what the kernel stamped last: TLS may end with a message, whose arrival is timed already.
            self._trace.lingered(self._stream.stamped_at, at)
        else:
            if not self._received:
                self._trace.enter("transfer", at)
                if data.startswith(OTHERS):
                    raise ProbeError(Outcome.PROTOCOL, "The answer is not HTTP/1.1 (it is RTSP or ICE)")
            self._received += len(data)
            self._feed(data)
            self._bound()
        if self._complete:
            self._trace.leave(at)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise ProbeError(Outcome.PROTOCOL, "Switched to a protocol that nobody asked for (HTTP 101)") from None
        except httptools.HttpParserError as error:
            if self._complete:
                return  # whatever follows the answer is not part of it
            where = "The body is broken" if self._head_done else "The answer is not HTTP/1.1"
            raise ProbeError(Outcome.PROTOCOL, f"{where} ({error})") from None

    def _bound(self) -> None:
        if self._informational > INFORMATIONAL_LIMIT:
            detail = f"More than {INFORMATIONAL_LIMIT} informational responses and no answer"
            raise ProbeError(Outcome.PROTOCOL, detail)
        if not self._head_done:
            if self._received > HEAD_LIMIT:
                raise ProbeError(Outcome.PROTOCOL, f"The headers are larger than {HEAD_LIMIT // 1024} KiB")
        elif not self._complete and self._received - self._body_bytes > HEAD_LIMIT + FRAMING_LIMIT:
            raise ProbeError(Outcome.PROTOCOL, "The body is all framing: chunk sizes or trailers without end")

    def _end(self) -> None:
        if self._head_done and self._length is None and not self._chunked:
            self._complete = True  # the end of the stream is the end of the body
        elif not self._received:
            raise ProbeError(Outcome.RESET, "The connection was closed without an answer")
        elif not self._head_done:
            raise ProbeError(Outcome.PROTOCOL, "The connection was closed in the middle of the headers")
        elif self._length is not None and not self._chunked:
            promised = self._length.decode("latin-1")
            detail = f"The connection was closed after {self._body_bytes} of {promised} bytes of the body"
            raise ProbeError(Outcome.PROTOCOL, detail)
        else:
            raise ProbeError(Outcome.PROTOCOL, "The connection was closed in the middle of a chunked body")

    def on_status(self, reason: bytes) -> None:
        if not self._head_done and len(self.reason) < REASON_KEPT:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._head_done:
            return
        status = self._parser.get_status_code()
        if status < FIRST_FINAL_STATUS and status != SWITCHING_PROTOCOLS:
            self._informational += 1
            self.headers.clear()
            self.reason = b""
            return
        for name, value in self.headers:
            lowered = name.lower()
            if lowered == b"content-length":
                self._length = value
            elif lowered == b"transfer-encoding":
                self._chunked = b"chunked" in value.lower()
        self.status = self._trace.status = status
        self.version = self._parser.get_http_version()
        self._head_done = True
        self._trace.bytes = 0
        # A client alone knows that the answer to HEAD has no body, whatever its length says.
        self._complete = self._head_only or status in BODILESS

    def on_body(self, data: bytes) -> None:
        if not self._complete:
            self._chunks.append(data)
            if self._body_bytes < START_KEPT:
                self.start = self.start + data[: START_KEPT - self._body_bytes] if self.start else data[:START_KEPT]
            self._body_bytes += len(data)
            self._trace.bytes = self._body_bytes

    def on_message_complete(self) -> None:
        self._complete = self._head_done


def _broken(error: OSError, when: str) -> ProbeError:
    if isinstance(error, ssl.SSLError):
        return ProbeError(Outcome.TLS, f"TLS failed {when}: {reason_of(error)}")
    if isinstance(error, ConnectionError):
        return ProbeError(Outcome.RESET, f"The connection was reset {when}")
    if error.errno == errno.ETIMEDOUT:
        return ProbeError(Outcome.TIMEOUT, f"The connection was lost {when}")
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return ProbeError(Outcome.UNREACHABLE, f"The address became unreachable {when}")
    raise error
