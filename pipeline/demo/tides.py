"""How busy the invented company's servers are: by their own hour and weekday. Light, for the demo's target as well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
US = 1_000_000
SHIFTS_H = {"frankfurt": 1.0, "virginia": -5.0, "singapore": 8.0}  # what a home's clocks are ahead of UTC


def busy(home_shift_h: Numbers, slots: NDArray[np.int64]) -> Numbers:
    """How much longer a server thinks by its hour and weekday: 1 at night, some 1.4 at its busiest.

    `home_shift_h` is what the server's clocks are ahead of UTC.
    """
    hours = slots / (3600.0 * US) + home_shift_h
    workday = np.where((np.floor(hours / 24) + 3) % 7 < 5, 1.0, 0.45)  # the epoch was a Thursday
    daily: Numbers = 1.0 + 0.4 * workday * np.clip(np.sin((hours % 24 - 7.0) / 14.0 * np.pi), 0.0, None)
    return daily
