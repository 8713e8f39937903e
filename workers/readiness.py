"""Rings at the app's door until somebody answers: only then is the Workbench ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from json import loads

from workers.lifecycle import Stop

PATIENCE_S = 60.0
SAY_EVERY_S = 5.0
RING_EVERY_S = 0.1
ANSWER_S = 2.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (where to knock, not where to listen)


def what_is_missing(body: str) -> str:
    """The parts that the app's health report calls not ok, each with its message; empty where it names none."""
    try:
        parts = loads(body)["parts"]
        return "; ".join(f"{part['name']}: {part['message']}" for part in parts if not part["ok"])
    except (ValueError, KeyError, TypeError):
        return ""


class Doorbell(threading.Thread):
    """Says the URL once `/healthz`, or without one the page itself, answers 200. Otherwise fails, and stops all."""

    def __init__(self, host: str, port: int, began: float, stop: Stop, say: Callable[[str], None]) -> None:
        super().__init__(name="doorbell", daemon=True)
        self._host = EVERYWHERE.get(host, host)
        self._port = port
        self._began = began
        self._stop_all = stop
        self._say = say
        self.failure: str | None = None

    @property
    def url(self) -> str:
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    def run(self) -> None:
        began = said = time.monotonic()
        while not self._stop_all.wait(RING_EVERY_S):
            missing = self._missing()
            now = time.monotonic()
            if missing is None:
                self._say(f"Workbench ready in {now - self._began:.1f} s: {self.url}")
                return
            if now - began >= PATIENCE_S:
                self.failure = f"The app did not answer within {PATIENCE_S:.0f} s: {missing}"
                self._stop_all.set()
            elif now - said >= SAY_EVERY_S:
                said = now
                self._say(f"Waiting for the app: {missing}")

    def _missing(self) -> str | None:
        """What keeps us from being ready, None when nothing does."""
        try:
            status, text = self._get("/healthz")
            if status == HTTPStatus.NOT_FOUND:
                status, text = self._get("/")
        except (OSError, HTTPException) as error:
            return f"{self.url} {error}"
        return None if status == HTTPStatus.OK else what_is_missing(text) or f"{self.url}/healthz says {status}"

    def _get(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection(self._host, self._port, timeout=ANSWER_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read(10_000).decode(errors="replace")
        finally:
            connection.close()
