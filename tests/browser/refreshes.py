"""Which live parts of a page have drawn themselves anew: told by what goes over its websocket."""

from __future__ import annotations

from collections import Counter

from playwright.sync_api import Page, WebSocket
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

STEP_MS = 50


class Refreshes:
    """Counts, by their period in seconds, the refreshes that a page asked for and that were done. Make it before the
    page goes anywhere; the page's timers can then be moved on, so that nobody waits for minutes."""

    def __init__(self, page: Page) -> None:
        self.done: Counter[float] = Counter()
        self._page = page
        self._periods: dict[str, float] = {}
        self._asked: list[float] = []
        page.clock.install()
        page.on("websocket", self._opened)

    def pass_time(self, seconds: float) -> None:
        """Let every timer that is due within these seconds ring, once, and wait for the parts of that period."""
        before = self.done[seconds]
        self._page.clock.fast_forward(int(1000 * seconds) + 1_000)
        for _ in range(10_000 // STEP_MS):
            if self.done[seconds] > before:
                return
            self._page.wait_for_timeout(STEP_MS)
        raise AssertionError(f"nothing that refreshes each {seconds:g} s did so")

    def _opened(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._received)
        socket.on("framesent", self._sent)

    def _received(self, payload: bytes | str) -> None:
        message = ForwardMsg.FromString(payload if isinstance(payload, bytes) else payload.encode())
        kind = message.WhichOneof("type")
        if kind == "auto_rerun":
            self._periods[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY:
            self.done.update(self._asked)
            self._asked.clear()

    def _sent(self, payload: bytes | str) -> None:
        message = BackMsg.FromString(payload if isinstance(payload, bytes) else payload.encode())
        if message.WhichOneof("type") == "rerun_script" and message.rerun_script.fragment_id in self._periods:
            self._asked.append(self._periods[message.rerun_script.fragment_id])
