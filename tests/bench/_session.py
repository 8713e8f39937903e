"""A Streamlit session without a browser: what the server does for a page, and nothing of what a browser does after.

A browser reads the messages between two repaints, so its clock would count its own work; here nothing else happens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Self

from msgspec import Struct
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

PATIENCE_S = 60.0
WENT_WELL = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


class Run(Struct, frozen=True):
    """One run of a page's script, or of one live part: from the request to the word that it is done."""

    script_ms: float
    received_bytes: int
    lives: dict[str, float]  # seconds between refreshes by the id of the part
    errors: int  # messages for people that something went wrong


class Session:
    """A websocket to the server, as its page opens one."""

    def __init__(self, port: int) -> None:
        self._socket = connect(f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=["streamlit"], max_size=None)  # type: ignore[list-item] # a NewType

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def open(self, page: str, query: str = "") -> Run:
        """Run the page called `page` in the URL ("" is the first), as on opening it."""
        asked = BackMsg()
        asked.rerun_script.page_name = page
        asked.rerun_script.query_string = query
        return self._run(asked)

    def refresh(self, part: str) -> Run:
        """Run one live part again, as its timer asks for it."""
        asked = BackMsg()
        asked.rerun_script.fragment_id = part
        asked.rerun_script.is_auto_rerun = True
        return self._run(asked)

    def _run(self, asked: BackMsg) -> Run:
        began = time.perf_counter()
        self._socket.send(asked.SerializeToString())
        size, errors, lives = 0, 0, dict[str, float]()
        for payload in self._payloads():
            size += len(payload)
            message = ForwardMsg.FromString(payload)
            kind = message.WhichOneof("type")
            if kind == "auto_rerun":
                lives[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            elif kind == "delta" and message.delta.new_element.WhichOneof("type") == "exception":
                errors += 1
            elif kind == "script_finished":
                # One that was replaced by a newer request is not the end.
                if message.script_finished in WENT_WELL:
                    break
                errors += message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR
        return Run((time.perf_counter() - began) * 1000, size, lives, errors)

    def _payloads(self) -> Iterator[bytes]:
        while True:
            payload = self._socket.recv(timeout=PATIENCE_S)
            assert isinstance(payload, bytes)
            yield payload
