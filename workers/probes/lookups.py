"""One name asked of resolvers: several questions at once, asked anew where nobody answers, until each has its answer.

What an answer took is the kernel's word, not our loop's. All sockets listen until the look-up is over, so that a late
answer to an early question counts.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from time import monotonic

from workers.probes.dns_messages import Code, Kind, Question, UnreadableError, answers, read
from workers.probes.dns_settings import Server
from workers.probes.exchanges import Asked, Exchange, Trouble, fetch_over_tcp
from workers.probes.kernel import Meter

TRY_S = 0.25  # a lost packet is repeated after this; twice as long each time that all resolvers had their turn
TRIES = 8  # for each resolver: a minute and more, so that the attempt's deadline ends a look-up and not we
RESOLUTION_DELAY_S = 0.05  # RFC 8305: so long the addresses of IPv4 wait for those of IPv6, which may never come
MOST_STRAYS = 16  # packets of somebody who guesses: then the question goes over TCP, where guessing is harder
# Ours: no descriptors, no memory.
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Lookup:
    """The questions about one name, asked together. `heard` and `unheard` are told of each resolver as it happens."""

    def __init__(
        self,
        servers: Sequence[Server],
        questions: Sequence[Question],
        *,
        heard: Callable[[Server], None],
        unheard: Callable[[Server], None],
        use_tcp: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._servers = servers
        self._use_tcp = use_tcp
        self.heard = heard
        self._unheard = unheard
        first = int.from_bytes(os.urandom(2), "big")
        self.asked = [Asked(each, first if not n else _another(first)) for n, each in enumerate(questions)]
        self._exchanges: dict[tuple[Server, Asked | None], Exchange] = {}
        self.at = 0.0  # when we read the last answer, in monotonic seconds
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._tries = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until each question has its answer or its failure. It takes as long as it may: cancel it."""
        try:
            for asked in self.asked:
                self._ask(asked)
            if not self._over.done():
                self._wake_in(TRY_S)
            await self._over
        finally:
            self._close()

    def meter(self) -> Meter | None:
        """How long the answers kept us waiting: the longer of those that were asked together; None where unknown."""
        both = Meter()
        for asked in self.asked:
            if asked.meter.blind:
                return None
            waited_ns, unsure_ns = asked.meter.take()
            both.waited_ns, both.unsure_ns = max(both.waited_ns, waited_ns), max(both.unsure_ns, unsure_ns)
        return both

    def received(self, exchange: Exchange, wire: bytes, at_ns: int | None) -> None:
        """A packet came."""
        server = exchange.server
        for asked in self.asked:
            if answers(wire, asked.number, asked.question):
                if not asked.done and server not in asked.over_tcp:
                    asked.meter.received(at_ns)
                    self._understand(asked, server, wire, exchange)
                return
        exchange.strays += 1
        if exchange.strays == MOST_STRAYS:
            for asked in self.asked:
                if not asked.done and server not in asked.over_tcp:
                    self._ask_over_tcp(asked, server, Trouble.FORGED)

    def refused(self, exchange: Exchange) -> None:
        """Nobody listens there."""
        for asked in self.asked:
            if not asked.done:
                asked.meter.blind = True  # a refusal is not stamped
                self._failed(asked, exchange.server, Trouble.UNREACHABLE)

    def broke(self, error: Exception) -> None:
        """A fault of ours ends it all."""
        if not self._over.done():
            self._over.set_exception(error)

    def _understand(self, asked: Asked, server: Server, wire: bytes, exchange: Exchange | None = None) -> None:
        """Take what came over a socket, or over TCP."""
        self.heard(server)
        try:
            answer = read(wire, asked.question)
        except UnreadableError:
            self._failed(asked, server, Trouble.UNREADABLE)
            return
        if answer.truncated:
            if exchange is None:
                self._failed(asked, server, Trouble.UNREADABLE)
            else:
                self._ask_over_tcp(asked, server, Trouble.CUT_SHORT)
        elif answer.code in (Code.NOERROR, Code.NXDOMAIN):
            asked.answer = answer
            self._finish(asked)
        elif answer.code == Code.FORMERR and exchange is not None and asked.with_edns:
            asked.with_edns = False  # one from before EDNS
            self._ask(asked)
        else:
            self._failed(asked, server, answer.code)

    def _failed(self, asked: Asked, server: Server, failure: int) -> None:
        """A resolver was no help with a question: the next one, or that was all."""
        if asked.done or server in asked.gone:
            return
        asked.gone.add(server)
        if asked.failure in (None, Trouble.UNREACHABLE):
            asked.failure = failure
        self._ask(asked)

    def _ask(self, asked: Asked) -> None:
        """Send a question to the resolver whose turn it is, or to the first that it can be sent to."""
        while (server := asked.next(self._servers)) is not None:
            if server in asked.over_tcp:
                return
            if self._use_tcp:
                self._ask_over_tcp(asked, server, Trouble.UNREACHABLE)
                return
            try:
                self._exchange(asked, server).send(asked)
            except BlockingIOError:
                return  # no room to send: as good as lost, and repeated
            except OSError as error:
                if error.errno in OURS:
                    self.broke(error)
                    return
                asked.gone.add(server)
                asked.meter.blind = True  # that took time, and nobody stamped it
                asked.failure = asked.failure or Trouble.UNREACHABLE
            else:
                return
        self._finish(asked)

    def _exchange(self, asked: Asked, server: Server) -> Exchange:
        """The socket to ask on; what is asked again has its own, since some firewalls lose the second on a flow."""
        key = server, asked if asked.turn else None
        exchange = self._exchanges.get(key)
        if exchange is None:
            exchange = self._exchanges[key] = Exchange(self, server, self._loop)
        return exchange

    def _ask_over_tcp(self, asked: Asked, server: Server, why: Trouble) -> None:
        """Ask there; `why` is what it was where that fails."""
        asked.over_tcp.add(server)
        task = self._loop.create_task(self._over_tcp(asked, server, why))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _over_tcp(self, asked: Asked, server: Server, why: Trouble) -> None:
        try:
            wire = await fetch_over_tcp(asked, server, self._loop)
        except (OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno in OURS:
                self.broke(error)
                return
            asked.meter.blind = True  # that took time, and nobody stamped it
            self._failed(asked, server, why)
        else:
            if asked.done:
                return
            if answers(wire, asked.number, asked.question):
                self._understand(asked, server, wire)
            else:
                self._failed(asked, server, Trouble.UNREADABLE)

    def _again(self) -> None:
        """Nobody answered in time: ask anew, those in turn who are left."""
        late_ns = round(max(0.0, self._loop.time() - self._due) * 1e9)
        self._drain()  # timers run before what came in is looked at, and we may be late ourselves
        if self._over.done():
            return
        self._tries += 1
        for asked in self.asked:
            if asked.done:
                continue
            server = asked.next(self._servers)
            if server is not None:
                self._unheard(server)
            if self._tries >= TRIES * len(self._servers):
                asked.failure = asked.failure or Trouble.SILENT
                self._finish(asked)
            else:
                asked.turn += 1
                asked.meter.unsure_ns += late_ns
                self._ask(asked)
        if not self._over.done():
            self._wake_in(TRY_S * 2 ** (self._tries // len(self._servers)))

    def _enough(self) -> None:
        """IPv4 has addresses and waited for those of IPv6, as long as clients do."""
        self._drain()
        had = max(each.meter.waited_ns for each in self.asked if each.done)
        for asked in self.asked:
            if not asked.done:
                asked.meter.waited_ns = had + round(RESOLUTION_DELAY_S * 1e9)
                asked.failure = asked.failure or Trouble.SILENT
                self._finish(asked)

    def _finish(self, asked: Asked) -> None:
        asked.done = True
        self.at = monotonic()
        pending = [each.question.kind for each in self.asked if not each.done]
        if not pending:
            if not self._over.done():
                self._over.set_result(None)
        elif pending == [Kind.AAAA] and asked.answer is not None and asked.answer.addresses:
            self._patience = self._loop.call_later(RESOLUTION_DELAY_S, self._enough)

    def _drain(self) -> None:
        for exchange in list(self._exchanges.values()):
            while exchange.read():
                pass

    def _wake_in(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._again)

    def _close(self) -> None:
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        for exchange in self._exchanges.values():
            exchange.close()


def _another(number: int) -> int:
    """An id that is not that one."""
    while (found := int.from_bytes(os.urandom(2), "big")) == number:
        pass
    return found
