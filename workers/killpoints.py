"""Places where a test may kill a role for good: `BETTERSTACK_KILL_AT="recorder: before commit"`.

What must survive a kill -9 at any moment is tested at the worst moments. Unset, a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

_KILL_AT = os.environ.get("BETTERSTACK_KILL_AT")


def reached(point: str) -> None:
    """Die here, at once and without cleaning up, when this is the point that was asked for."""
    if _KILL_AT is not None and point == _KILL_AT:
        os.kill(os.getpid(), signal.SIGKILL)
