"""`from pipeline import analysis` gives every function without loading any, and none is hidden by a module."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pipeline import analysis


def test_every_name_is_there_and_where_it_is_said_to_be() -> None:
    assert sorted(analysis._HOMES) == sorted(analysis.__all__)
    for name in analysis.__all__:
        home = import_module(f"pipeline.analysis.{analysis._HOMES[name]}")
        assert getattr(analysis, name) is getattr(home, name)


def test_no_function_has_the_name_of_a_module_that_would_take_its_place() -> None:
    modules = {path.stem for path in Path(analysis.__file__).parent.glob("*.py")}
    assert not modules & set(analysis.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'downtime'"):
        _ = analysis.downtime
    assert "uptime" in dir(analysis)


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    code = "import sys; from pipeline import analysis; print('polars' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert found.strip() == "False"
