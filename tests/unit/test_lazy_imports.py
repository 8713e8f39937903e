"""A prober loads the words and the settings, and nothing heavy with them."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"polars", "sqlalchemy", "altair", "psycopg", "pyarrow"}


def test_importing_the_pipeline_loads_nothing_heavy() -> None:
    code = (
        "import sys, pipeline, pipeline.vocabulary, pipeline.settings; print(*{m.split('.')[0] for m in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert not HEAVY & set(loaded.split())


def test_a_prober_loads_what_judges_a_body_with_the_first_body_that_is_judged() -> None:
    code = "import sys, workers.probes; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert not {"jsonpath", "re2", "pydantic", "workers.probes.body"} & set(loaded.split())


def test_connect_is_there_without_being_loaded() -> None:
    code = "import sys, pipeline; assert callable(pipeline.connect); print('polars' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert found.strip() == "False"
