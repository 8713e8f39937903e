"""An uptime is claimed with as many digits as its checks carry."""

from __future__ import annotations

import pytest

from app.components.site_head import claim
from app.components.words import NOTHING
from pipeline.store.uptime import Uptime


def uptime(share: float | None, checks: int, down_s: float = 0.0) -> Uptime:
    return Uptime(share, 0.0, 1.0, 1.0, down_s, 0.0, checks)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (uptime(None, 0), NOTHING),
        (uptime(1.0, 12), "no failure"),
        (uptime(1.0, 100), "≥ 96.30 %"),
        (uptime(1.0, 10_000), "≥ 99.961 %"),
        (uptime(0.57913, 40, 60.0), "57 %"),
        (uptime(0.99954, 999, 60.0), "99.9 %"),
        (uptime(0.99954, 9_999, 60.0), "99.95 %"),
        (uptime(0.99954, 10_000, 60.0), "99.954 %"),
    ],
)
def test_a_claim_says_no_more_than_its_checks_do(found: Uptime, said: str) -> None:
    assert claim(found) == said
