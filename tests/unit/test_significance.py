"""p-values are those of the tables, and chance is called by its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.significance import adjusted, normal_p, proportions, student_p, welch

COUNT = st.integers(0, 300)


def test_they_are_those_of_the_tables() -> None:
    assert normal_p(1.959964) == pytest.approx(0.05, abs=1e-6)
    for t, freedom in ((12.706, 1), (2.228, 10), (2.042, 30), (1.984, 100)):
        assert student_p(t, freedom) == pytest.approx(0.05, abs=1e-4)


def test_fisher_tastes_tea() -> None:
    # "The lady tasting tea": three of four cups right (Fisher, The design of experiments, 1935).
    for counts, expected in (((3, 4, 1, 4), 0.4857), ((4, 4, 0, 4), 1 / 35)):
        p_value, test = proportions(*counts)
        assert p_value == pytest.approx(expected, abs=1e-4)
        assert test == "Fisher"


def test_many_checks_are_held_to_the_g_test() -> None:
    p_value, test = proportions(30, 100, 20, 100)
    assert p_value == pytest.approx(0.1018, abs=1e-3)
    assert test == "G"


def test_what_cannot_be_compared_is_no_surprise() -> None:
    for counts in ((0, 0, 3, 9), (3, 3, 9, 9), (0, 5, 0, 5)):
        assert proportions(*counts) == (1.0, "none")
    assert welch((1.0, 2.0), (1.0, 1.0), (1.0, 50.0)) == (0.0, 1.0)
    assert welch((1.0, 1.0), (0.0, 0.0), (9.0, 9.0)) == (0.0, 1.0)


def test_welch_is_that_of_the_textbook() -> None:
    # Means 20.6 and 22.1 of 10 each, variances 9.0 and 0.9: t = -1.5 / sqrt(0.99), 10.77 degrees of freedom.
    t, p_value = welch((20.6, 22.1), (9.0, 0.9), (10, 10))
    assert t == pytest.approx(1.5076, abs=1e-4)
    assert p_value == pytest.approx(0.160, abs=2e-3)


def test_benjamini_and_hochberg_as_worked_by_hand() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert adjusted([0.01], tests=10) == pytest.approx([0.1])
    assert adjusted([]) == []


@given(COUNT, COUNT, COUNT, COUNT)
def test_a_p_value_is_one_and_does_not_depend_on_which_side_is_called_inside(a: int, b: int, c: int, d: int) -> None:
    p_value, test = proportions(a, a + b, c, c + d)
    assert 0 <= p_value <= 1
    swapped, same = proportions(c, c + d, a, a + b)
    assert swapped == pytest.approx(p_value, abs=1e-9)
    assert same == test


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusting_keeps_the_order_and_never_makes_smaller(p_values: list[float]) -> None:
    after = adjusted(p_values)
    assert all(new >= old - 1e-12 for old, new in zip(p_values, after, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [after[place] for place in order] == sorted(after)
