"""A site's states over a range as a small picture in a table: one column a bucket, the worst at the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from pipeline.charts.palette import COLOURS
from pipeline.charts.shapes import COUNTED
from pipeline.charts.states import SLIVER
from pipeline.vocabulary import State

WIDTH, HEIGHT = 108, 28
TOP, TALL = 6, 18  # where in it the columns are
# A failure reaches higher than its share, what is up is pale: colour is not the only sign.
INK = {State.DOWN: 1.0, State.DEGRADED: 1.0, State.UNKNOWN: 0.3, State.UP: 0.4}
URGENT = {State.DOWN, State.DEGRADED}


def bar(seconds: Sequence[Sequence[float]]) -> str:
    """The picture as a data URL, of each bucket's seconds in the order of `COUNTED`. Buckets without any stay empty."""
    step = WIDTH / max(1, len(seconds))
    paths: dict[State, list[str]] = {}
    for place, bucket in enumerate(seconds):
        floor = float(TOP + TALL)
        for state, tall in zip(COUNTED, _heights(bucket), strict=True):
            if tall:
                floor -= tall
                box = f"M{place * step:.1f} {floor:.1f}h{step - 1:.1f}v{tall:.1f}h-{step - 1:.1f}z"
                paths.setdefault(state, []).append(box)
    drawn = "".join(
        f'<path fill="{COLOURS[state]}" fill-opacity="{INK[state]}" d="{"".join(boxes)}"/>'
        for state, boxes in paths.items()
    )
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{drawn}</svg>'
    return "data:image/svg+xml," + quote(svg, safe=" =:/'().,-")


def _heights(bucket: Sequence[float]) -> list[float]:
    """How tall each state is drawn, together all of the height."""
    total = sum(bucket)
    if not total:
        return [0.0] * len(bucket)
    least = {state: 2 * SLIVER if state in URGENT else 0.0 for state in COUNTED}
    shares = [max(each / total, least[state]) if each else 0.0 for state, each in zip(COUNTED, bucket, strict=True)]
    return [TALL * share / sum(shares) for share in shares]
