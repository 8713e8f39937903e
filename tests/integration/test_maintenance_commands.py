"""`betterstack maintenance`: what is added is listed, ended and taken back, and mistakes are explained."""

from __future__ import annotations

import json

from tests.integration.conftest import Run, lines


def test_maintenance_is_added_listed_and_removed(run: Run) -> None:
    run("sites", "add", "https://shop.example", "--key", "shop")
    reason = ("--reason", "a new database")
    told = run("maintenance", "add", "shop", "--from", "2026-03-01T22:00Z", "--to", "2026-03-02T01:00Z", *reason)
    assert told.stdout.startswith("maintenance 1 of shop")
    [row] = lines(run("maintenance", "list"))
    assert row == ["1", "shop", "2026-03-01T22:00Z", "2026-03-02T01:00Z", "a", "new", "database"]
    run("maintenance", "add", "all", *reason)
    found = json.loads(run("maintenance", "list", "--json").stdout)
    assert [(each["site"], each["until"]) for each in found] == [("shop", "2026-03-02T01:00:00Z"), ("all", None)]
    run("maintenance", "end", "2")
    assert "removed" in run("maintenance", "remove", "1").stdout
    assert [row[0] for row in lines(run("maintenance", "list"))] == ["2"]


def test_mistakes_name_the_option(run: Run) -> None:
    run("sites", "add", "https://shop.example", "--key", "shop")
    backwards = run(
        "maintenance", "add", "shop", "--from", "2026-03-02", "--to", "2026-03-01", "--reason", "x", status=2
    )
    assert "--to: it ends" in backwards.stderr
    assert "there is no site 'shp'" in run("maintenance", "add", "shp", "--reason", "x", status=2).stderr
    assert "there is no period 7" in run("maintenance", "end", "7", status=2).stderr
