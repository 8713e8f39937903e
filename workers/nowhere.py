"""A prober for a region that nobody has made: it waits, as it may be made yet, and says so where that can be known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pipeline.settings import Settings

log = logging.getLogger(__name__)
# By then the pusher has made the streams of a region that there is, and nobody needs to ask.
GRACE_S = 3.0


async def tell(settings: Settings, region: str, homeless: Callable[[], bool]) -> None:
    """Say that there is no such region, with those that there are; nothing where there is, or Postgres is not here."""
    await asyncio.sleep(GRACE_S)
    if not homeless():
        return
    if settings.database_url is None and not settings.embedded:  # elsewhere: a prober has no more than its Redis
        return
    try:
        known = await asyncio.to_thread(_known, settings)
    except Exception:  # noqa: BLE001 - psycopg is not loaded for its errors; whatever it is, we wait as before
        return
    if region not in known:
        said = f"there is no region {region!r}; there are: {', '.join(known) or 'none yet'}"
        todo = f"{said}. Waiting for it: `betterstack regions add {region}` makes it"
        log.error(todo, extra={"action": "region_unknown", "region": region})


def _known(settings: Settings) -> list[str]:
    from pipeline.store.session import session

    with session(settings.database, "prober", lock_timeout_ms=1_000) as connection:
        return [key for (key,) in connection.execute("select key from regions where deleted_at is null order by key")]
