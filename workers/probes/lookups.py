"""c-ares through aiodns, with the time at which each answer was there: our loop may come to it much later."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from time import monotonic
from typing import Any

import aiodns


class Lookups(aiodns.DNSResolver):
    """A channel that stamps its answers, in monotonic seconds, in the thread of c-ares that read them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._answered_at: weakref.WeakKeyDictionary[asyncio.Future[Any], float] = weakref.WeakKeyDictionary()
        super().__init__(*arguments, **options)

    def answered_at(self, question: asyncio.Future[Any]) -> float | None:
        """When the answer to a question was there; None where that is not known, and its own end has to do."""
        return self._answered_at.get(question)

    def _get_future_callback(self) -> tuple[asyncio.Future[Any], Callable[[Any, int | None], None]]:
        # A hidden part of aiodns, since its public callbacks run on the loop; without it there are no stamps, no more.
        question, callback = super()._get_future_callback()  # type: ignore[var-annotated]

        def stamped(result: Any, errorno: int | None) -> None:
            self._answered_at[question] = monotonic()
            callback(result, errorno)

        return question, stamped
