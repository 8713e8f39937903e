"""A page in Chromium: when its last chart was painted, what it cost to fetch, and how often it refreshed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from playwright.sync_api import BrowserContext, CDPSession, Page, WebSocket
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

VIEWPORT = {"width": 1280, "height": 1600}
PATIENCE_S = 30.0
SETTLED_FOR_S = 0.7  # nothing new was drawn for so long after the script's end
CHARTS = ("vega_lite_chart", "dataframe")
LIBRARIES = ("Script", "Stylesheet", "Font")

# Looks before each repaint how many elements, charts and tables there are, and how many of those hold anything but
# emptiness; keeps the time, from the navigation on, whenever that changed. A canvas is scaled down to a few pixels.
WATCH = """
(() => {
  const seen = {drawn: new WeakSet(), log: []};
  window.__painted = seen.log;
  const small = Object.assign(document.createElement('canvas'), {width: 24, height: 24});
  const pixels = small.getContext('2d', {willReadFrequently: true});
  const isDrawn = chart => {
    if (seen.drawn.has(chart)) return true;
    const canvas = chart.querySelector('canvas');
    let drawn = false;
    if (canvas && canvas.width && canvas.height) {
      pixels.clearRect(0, 0, 24, 24);
      pixels.drawImage(canvas, 0, 0, 24, 24);
      drawn = pixels.getImageData(0, 0, 24, 24).data.some(value => value);
    } else {
      drawn = !!chart.querySelector('svg path');
    }
    if (drawn) seen.drawn.add(chart);
    return drawn;
  };
  const look = () => {
    const elements = document.querySelectorAll('[data-testid=stElementContainer]').length;
    const charts = [...document.querySelectorAll('[data-testid=stVegaLiteChart], [data-testid=stDataFrame]')];
    const drawn = charts.filter(isDrawn).length;
    const last = seen.log.at(-1);
    if (!last || last[1] !== elements || last[2] !== charts.length || last[3] !== drawn) {
      seen.log.push([performance.now(), elements, charts.length, drawn]);
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()
"""


class Load(Struct, frozen=True):
    """One navigation to a page. Bytes leave out scripts, styles and fonts; websocket frames count uncompressed."""

    painted_ms: float  # from the navigation to the last chart or table, or element where there is neither
    drawn: int  # charts and tables
    bytes: int
    socket_bytes: int


class Traffic:
    """What a page fetched beyond its libraries, and which of its runs were done."""

    def __init__(self, page: Page, session: CDPSession) -> None:
        self.fetched = self.framed = self.runs = self.refreshes = 0
        self.charts: set[tuple[int, ...]] = set()  # the places of charts and tables that the first run sent
        self._kinds: dict[str, str] = {}
        page.on("websocket", self._opened)
        session.on("Network.responseReceived", self._answered)
        session.on("Network.loadingFinished", self._finished)
        session.send("Network.enable")

    def _opened(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._received)
        socket.on("framesent", self._sent)

    def _received(self, payload: bytes | str) -> None:
        self.framed += len(payload)
        if isinstance(payload, bytes):
            message = ForwardMsg.FromString(payload)
            kind = message.WhichOneof("type")
            if kind == "delta" and not self.runs and message.delta.new_element.WhichOneof("type") in CHARTS:
                self.charts.add(tuple(message.metadata.delta_path))
            elif kind == "script_finished":
                self.runs += message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
                self.refreshes += message.script_finished == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY

    def _sent(self, payload: bytes | str) -> None:
        self.framed += len(payload)

    def _answered(self, event: dict[str, Any]) -> None:
        library = event["type"] in LIBRARIES or "/static/" in event["response"]["url"]
        self._kinds[event["requestId"]] = "library" if library else "other"

    def _finished(self, event: dict[str, Any]) -> None:
        if self._kinds.get(event["requestId"]) == "other":
            self.fetched += int(event["encodedDataLength"])


@contextmanager
def opened(context: BrowserContext, url: str) -> Iterator[tuple[Page, Traffic]]:
    """A new tab on the page, closed at the end."""
    page = context.new_page()
    page.set_viewport_size(VIEWPORT)  # type: ignore[arg-type] # a dict of its keys
    traffic = Traffic(page, context.new_cdp_session(page))
    page.add_init_script(WATCH)
    page.goto(url, wait_until="commit")
    try:
        yield page, traffic
    finally:
        page.close()


def load(context: BrowserContext, url: str) -> Load:
    """Open the page and wait until it is there as a whole."""
    with opened(context, url) as (page, traffic):
        painted_ms, drawn = settled(page, traffic)
        return Load(painted_ms, drawn, traffic.fetched + traffic.framed, traffic.framed)


def settled(page: Page, traffic: Traffic) -> tuple[float, int]:
    """Wait until the script is done, all is drawn and stays so; when the last thing was drawn, and how many are."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        log: list[tuple[float, int, int, int]] = page.evaluate("window.__painted || []")
        now_ms: float = page.evaluate("performance.now()")
        if traffic.runs and log:
            last_ms, elements, charts, drawn = log[-1]
            if elements and charts == drawn >= len(traffic.charts) and now_ms - last_ms > SETTLED_FOR_S * 1000:
                # A refresh may draw a chart anew; what counts is when all of them stood for the first time.
                whole = (ms for ms, had, held, done in log if held == done == drawn and (drawn or had == elements))
                return min(whole), drawn
        if time.monotonic() > deadline:
            sent = len(traffic.charts)
            raise TimeoutError(f"{page.url}: of {sent} charts not all were drawn in {PATIENCE_S:.0f} s: {log[-3:]}")
        page.wait_for_timeout(50)
