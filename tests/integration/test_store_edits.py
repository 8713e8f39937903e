"""Every edit becomes revisions, exactly where what is probed changes, and never behind the pusher's back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, insert, select, text, update

from pipeline.declared import Declared, RegionIn, SiteIn
from pipeline.errors import InvalidInputError, NotFoundError
from pipeline.naming import suggest_key
from pipeline.schedule import slots
from pipeline.store import tables as t
from pipeline.store.apply import Applied, apply
from pipeline.store.edits import AT_ONCE, SPREAD, count_active
from pipeline.store.engine import engine
from pipeline.store.regions import (
    create_region,
    delete_region,
    get_region,
    list_regions,
    seed_regions,
    update_region,
)
from pipeline.store.sites import (
    all_sites,
    create_site,
    create_sites,
    delete_sites,
    get_site,
    pause_sites,
    request_check,
    update_site,
    with_keys,
)
from pipeline.vocabulary import Network, Revision

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BY: dict[str, Any] = {"now": NOW, "actor": "test"}


@pytest.fixture
def store(dsn: str) -> Iterator[Engine]:
    """An engine on an empty store with the regions `a` and `b`."""
    opened = engine(dsn)
    emptied = ", ".join(sorted(set(t.metadata.tables) - {"workspaces", "pusher"}))
    with opened.begin() as connection:
        connection.execute(text(f"truncate {emptied} restart identity"))
        connection.execute(update(t.pusher).values(pushed_until=None))
        for key in ("a", "b"):
            create_region(connection, RegionIn(key=key), **BY)
    yield opened
    opened.dispose()


@pytest.fixture
def tx(store: Engine) -> Iterator[Connection]:
    with store.begin() as connection:
        yield connection


def site(key: str, **fields: Any) -> SiteIn:
    return SiteIn.model_validate({"key": key, "url": f"https://{key}.example", **fields})


def history(tx: Connection, key: str | None = None) -> list[tuple[str, bool, float]]:
    """(region, active, seconds after NOW) of each revision in order of id."""
    query = (
        select(t.regions.c.key, t.revisions.c.active, t.revisions.c.effective_at)
        .join(t.regions, t.regions.c.id == t.revisions.c.region_id)
        .join(t.sites, t.sites.c.id == t.revisions.c.site_id)
        .order_by(t.revisions.c.id)
    )
    if key is not None:
        query = query.where(t.sites.c.key == key)
    return [(region, active, (at - NOW) / SECOND) for region, active, at in tx.execute(query)]


def series(tx: Connection) -> set[tuple[str, str]]:
    query = (
        select(t.sites.c.key, t.regions.c.key)
        .select_from(t.series)
        .join(t.sites, t.sites.c.id == t.series.c.site_id)
        .join(t.regions, t.regions.c.id == t.series.c.region_id)
    )
    return {(row[0], row[1]) for row in tx.execute(query)}


def active(tx: Connection) -> set[tuple[str, str]]:
    """What the schedule is left with: (site, region) whose last revision in force order is active."""
    query = text("""
        select s.key, r.key from (
            select distinct on (site_id, region_id) * from revisions
            order by site_id, region_id, effective_at desc, id desc
        ) last join sites s on s.id = site_id join regions r on r.id = region_id where active
    """)
    return {(row[0], row[1]) for row in tx.execute(query)}


def pushed(tx: Connection, seconds: float) -> None:
    tx.execute(update(t.pusher).values(pushed_until=NOW + timedelta(seconds=seconds)))


# --- which edits become revisions -----------------------------------------------------------------------------------


def test_a_new_site_is_called_for_in_every_region_at_once(tx: Connection) -> None:
    created = create_site(tx, site("x"), **BY)
    assert history(tx) == [("a", True, 0.0), ("b", True, 0.0)]
    assert series(tx) == active(tx) == {("x", "a"), ("x", "b")}
    assert created.regions is None
    assert tx.execute(select(t.verdicts.c.state)).scalars().all() == ["unknown"]


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://elsewhere.example"},
        {"interval_s": 60},
        {"timeout_s": 3},
        {"method": "HEAD"},
        {"headers": {"Accept": "text/html"}},
        {"expect": {"status": ["200"]}},
        {"max_redirects": 0},
        {"confirmations": 0},
        {"spacing_s": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_change_of_what_is_probed_is_a_revision_in_each_region(tx: Connection, changes: dict[str, Any]) -> None:
    create_site(tx, site("x"), **BY)
    update_site(tx, "x", changes, now=NOW + SECOND, actor="test")
    assert history(tx)[2:] == [("a", True, 1.0), ("b", True, 1.0)]


@pytest.mark.parametrize(
    "changes",
    [{"name": "Another"}, {"tags": ["t"]}, {}, {"interval_s": 180}, {"regions": ["a", "b"]}, {"paused": False}],
    ids=str,
)
def test_a_change_of_words_is_no_revision(tx: Connection, changes: dict[str, Any]) -> None:
    create_site(tx, site("x"), **BY)
    update_site(tx, "x", changes, now=NOW + SECOND, actor="test")
    assert len(history(tx)) == 2


def test_saving_the_same_again_writes_nothing_at_all(tx: Connection) -> None:
    before = create_site(tx, site("x", headers={"Accept": "1", "Range": "2"}, regions=["b", "a"]), **BY)
    after = update_site(
        tx, "x", site("x", headers={"Range": "2", "Accept": "1"}, regions=["a", "b"]).model_dump(), **BY
    )
    assert after == before
    actions = tx.execute(select(t.audit.c.action).where(t.audit.c.subject == "x")).scalars().all()
    assert actions == ["site_created"]


def test_other_regions_begin_and_end_without_touching_the_ones_that_stay(tx: Connection) -> None:
    create_region(tx, RegionIn(key="c"), **BY)
    create_site(tx, site("x", regions=["a", "b"]), **BY)
    update_site(tx, "x", {"regions": ["b", "c"]}, **BY)
    assert history(tx)[2:] == [("a", False, 0.0), ("c", True, 0.0)]
    assert series(tx) == active(tx) == {("x", "b"), ("x", "c")}
    assert get_site(tx, "x").regions == ["b", "c"]


def test_a_change_of_a_regions_network_is_a_revision_of_every_site_watched_from_it(tx: Connection) -> None:
    create_sites(tx, [site("x"), site("y", regions=["b"]), site("z", regions=["a"])], **BY)
    before = len(history(tx))
    update_region(tx, "a", {"proxy": "http://proxy:3128"}, **BY)
    assert sorted(history(tx)[before:]) == [("a", True, 0.0)] * 2
    update_region(tx, "a", {"name": "A place"}, **BY)
    assert len(history(tx)) == before + 2
    assert get_region(tx, "a").network == Network(proxy="http://proxy:3128")


# --- when they take effect ------------------------------------------------------------------------------------------


def test_an_edit_takes_effect_where_the_pusher_has_not_been_yet(tx: Connection) -> None:
    pushed(tx, 2)
    create_site(tx, site("x"), **BY)
    pushed(tx, 3.5)
    pause_sites(tx, ["x"], paused=True, **BY)
    assert [at for *_, at in history(tx)] == [2.0, 2.0, 3.5, 3.5]


def test_an_edit_does_not_take_effect_in_the_past_of_a_pusher_that_stands_still(tx: Connection) -> None:
    pushed(tx, -600)
    create_site(tx, site("x"), **BY)
    assert [at for *_, at in history(tx)] == [0.0, 0.0]


def test_an_edit_holds_the_pusher_until_it_is_committed(store: Engine) -> None:
    with store.begin() as editing:
        create_site(editing, site("x"), **BY)
        with store.connect() as pushing, pytest.raises(Exception, match="could not obtain lock"):
            pushing.execute(text("select pushed_until from pusher for update nowait"))
    with store.begin() as pushing:
        pushing.execute(text("select pushed_until from pusher for update nowait"))


def test_many_sites_at_once_are_spread(tx: Connection) -> None:
    create_sites(tx, [site(f"s{n:03}") for n in range(AT_ONCE)], **BY)
    times = [at for *_, at in history(tx)]
    assert len(times) == 2 * AT_ONCE
    assert times.count(0.0) == AT_ONCE + 1
    assert max(times) == (AT_ONCE - 1) * SPREAD / SECOND


@pytest.mark.parametrize("edit", ["pause", "delete", "change"])
def test_an_edit_of_a_site_that_waits_for_its_spread_start_still_counts(tx: Connection, edit: str) -> None:
    """The new revision must not take effect before the one it replaces, which would then win."""
    create_sites(tx, [site(f"s{n:03}") for n in range(AT_ONCE)], **BY)
    last = f"s{AT_ONCE - 1:03}"
    match edit:
        case "pause":
            pause_sites(tx, [last], paused=True, **BY)
        case "delete":
            delete_sites(tx, [last], **BY)
        case _:
            update_site(tx, last, {"interval_s": 77}, **BY)
    assert active(tx) == series(tx)
    called_for = slots(revisions_of(tx, last), NOW, NOW + timedelta(hours=1))
    assert {slot.revision.interval_s for slot in called_for} == ({77} if edit == "change" else set())


def test_a_clock_that_went_back_does_not_undo_an_edit(tx: Connection) -> None:
    create_site(tx, site("x"), now=NOW + timedelta(minutes=5), actor="test")
    pause_sites(tx, ["x"], paused=True, **BY)
    assert active(tx) == set()


def revisions_of(tx: Connection, key: str) -> list[Revision]:
    rows = tx.execute(
        select(t.revisions)
        .join(t.sites, t.sites.c.id == t.revisions.c.site_id)
        .where(t.sites.c.key == key)
        .order_by(t.revisions.c.id)
    ).mappings()
    names = ("id", "site_id", "region_id", "effective_at", "active", "interval_s")
    return [Revision(**{name: row[name] for name in names}) for row in rows]


# --- pausing and removing -------------------------------------------------------------------------------------------


def test_pausing_ends_a_site_and_resuming_begins_it_at_once(tx: Connection) -> None:
    create_site(tx, site("x"), **BY)
    pause_sites(tx, ["x"], paused=True, now=NOW + SECOND, actor="test")
    assert history(tx)[2:] == [("a", False, 1.0), ("b", False, 1.0)]
    assert series(tx) == set()
    pause_sites(tx, ["x"], paused=True, now=NOW + 2 * SECOND, actor="test")
    assert len(history(tx)) == 4
    pause_sites(tx, ["x"], paused=False, now=NOW + 3 * SECOND, actor="test")
    assert history(tx)[4:] == [("a", True, 3.0), ("b", True, 3.0)]
    assert series(tx) == {("x", "a"), ("x", "b")}


def test_a_paused_site_can_be_added_changed_and_resumed(tx: Connection) -> None:
    create_site(tx, site("x", paused=True), **BY)
    update_site(tx, "x", {"interval_s": 7}, **BY)
    assert history(tx) == []
    update_site(tx, "x", {"paused": False}, **BY)
    assert tx.execute(select(t.revisions.c.interval_s)).scalars().all() == [7, 7]


def test_a_removed_sites_key_and_url_are_free_again_and_its_history_stays(tx: Connection) -> None:
    first = create_site(tx, site("x"), **BY)
    delete_sites(tx, ["x"], now=NOW + SECOND, actor="test")
    with pytest.raises(NotFoundError):
        get_site(tx, "x")
    second = create_site(tx, site("x"), now=NOW + 2 * SECOND, actor="test")
    assert second.id != first.id
    by_site = tx.execute(select(t.revisions.c.site_id, t.revisions.c.active).order_by(t.revisions.c.id)).all()
    assert [tuple(row) for row in by_site] == [
        *[(first.id, True)] * 2,
        *[(first.id, False)] * 2,
        *[(second.id, True)] * 2,
    ]
    assert [found.id for found in all_sites(tx)] == [second.id]


def test_removing_one_of_several_that_do_not_all_exist_removes_none(store: Engine) -> None:
    with store.begin() as tx:
        create_site(tx, site("x"), **BY)
    with pytest.raises(NotFoundError), store.begin() as tx:
        delete_sites(tx, ["x", "nope"], **BY)
    with store.connect() as tx:
        assert get_site(tx, "x").key == "x"


# --- regions --------------------------------------------------------------------------------------------------------


def test_a_new_region_is_for_the_sites_that_follow_all(tx: Connection) -> None:
    create_sites(tx, [site("all"), site("one", regions=["a"]), site("off", paused=True)], **BY)
    create_region(tx, RegionIn(key="c"), now=NOW + SECOND, actor="test")
    assert history(tx)[3:] == [("c", True, 1.0)]
    assert series(tx) == {("all", "a"), ("all", "b"), ("all", "c"), ("one", "a")}


def test_a_removed_region_ends_its_series_and_keeps_its_history(tx: Connection) -> None:
    create_sites(tx, [site("all"), site("two", regions=["a", "b"])], **BY)
    delete_region(tx, "a", now=NOW + SECOND, actor="test")
    assert history(tx)[4:] == [("a", False, 1.0)] * 2
    assert series(tx) == active(tx) == {("all", "b"), ("two", "b")}
    assert get_site(tx, "two").regions == ["b"]
    assert [region.key for region in list_regions(tx)] == ["b"]
    assert [region.key for region in list_regions(tx, deleted=True)] == ["a", "b"]


def test_a_region_is_kept_while_a_site_would_be_left_without_any(tx: Connection) -> None:
    create_sites(tx, [site("all"), site("only", regions=["a"])], **BY)
    with pytest.raises(InvalidInputError, match="only would be checked from nowhere"):
        delete_region(tx, "a", **BY)
    update_site(tx, "only", {"regions": ["b"]}, **BY)
    delete_region(tx, "a", **BY)


def test_the_last_region_is_kept_while_a_site_that_follows_all_is_to_be_checked(tx: Connection) -> None:
    create_sites(tx, [site("all"), site("off", paused=True)], **BY)
    delete_region(tx, "a", **BY)
    with pytest.raises(InvalidInputError, match="all would be checked from nowhere: add another region first"):
        delete_region(tx, "b", **BY)
    update_site(tx, "all", {"paused": True}, **BY)
    delete_region(tx, "b", **BY)
    assert list_regions(tx) == []


def test_a_region_made_anew_under_an_old_key_is_another_region(tx: Connection) -> None:
    create_site(tx, site("x"), **BY)
    old = get_region(tx, "a").id
    delete_region(tx, "a", **BY)
    assert create_region(tx, RegionIn(key="a"), **BY).id != old
    assert series(tx) == {("x", "a"), ("x", "b")}
    with pytest.raises(InvalidInputError, match="already"):
        create_region(tx, RegionIn(key="a"), **BY)


def test_default_regions_come_once_and_never_after_they_were_removed(store: Engine) -> None:
    with store.begin() as tx:
        assert seed_regions(tx, now=NOW) == []
        for key in ("a", "b"):
            delete_region(tx, key, **BY)
        assert seed_regions(tx, now=NOW) == []
        tx.execute(text("truncate regions restart identity cascade"))
        assert [region.key for region in seed_regions(tx, now=NOW)] == ["local-a", "local-b"]


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"interval_s": "soon"}, ["interval_s"]),
        ({"interval_s": None}, ["interval_s"]),
        ({"interval_s": 0}, ["interval_s"]),
        ({"interval_s": -5, "nope": 1}, ["interval_s", "nope"]),
        ({"regions": ["mars"]}, ["regions"]),
        ({"regions": []}, ["regions"]),
        ({"key": "other"}, ["key"]),
        ({"timeout_s": 200}, ["timeout_s"]),
        ({"timeout_s": float("nan")}, ["timeout_s"]),
    ],
    ids=str,
)
def test_a_change_that_cannot_be_is_refused_by_field(
    tx: Connection, changes: dict[str, Any], fields: list[str]
) -> None:
    before = create_site(tx, site("x"), **BY)
    with pytest.raises(InvalidInputError) as refused:
        update_site(tx, "x", changes, **BY)
    assert [problem.field for problem in refused.value.problems] == fields
    assert get_site(tx, "x") == before


def test_a_shorter_interval_takes_the_timeout_along_and_a_longer_one_leaves_it(tx: Connection) -> None:
    create_site(tx, site("x"), **BY)
    assert update_site(tx, "x", {"interval_s": 4}, **BY).timeout_s == 4.0
    assert update_site(tx, "x", {"interval_s": 90}, **BY).timeout_s == 4.0
    assert update_site(tx, "x", {"interval_s": 100, "timeout_s": None}, **BY).timeout_s == 10.0


def test_the_same_check_is_not_added_twice(tx: Connection) -> None:
    create_site(tx, site("x", url="https://one.example"), **BY)
    with pytest.raises(InvalidInputError, match="watched already as 'x'"):
        create_site(tx, site("y", url="https://one.example"), **BY)
    create_site(tx, site("y", url="https://one.example", method="HEAD"), **BY)
    with pytest.raises(InvalidInputError, match="watched already as 'x'"):
        update_site(tx, "y", {"method": "GET"}, **BY)


def test_every_problem_of_a_list_is_named_with_its_place(tx: Connection) -> None:
    create_site(tx, site("x"), **BY)
    wanted = [
        site("x", url="https://new.example"),
        site("y", regions=["mars"]),
        site("z"),
        site("z", regions=["pluto"]),
    ]
    with pytest.raises(InvalidInputError) as refused:
        create_sites(tx, wanted, **BY)
    fields = sorted(problem.field for problem in refused.value.problems)
    assert fields == ["sites[0].key", "sites[1].regions", "sites[3].key", "sites[3].regions", "sites[3].url"]
    assert [found.key for found in all_sites(tx)] == ["x"]


def test_a_site_whose_status_is_written_as_numbers_is_the_same(tx: Connection) -> None:
    create_site(tx, site("x", expect={"status": 204}), **BY)
    assert get_site(tx, "x").expect == {"status": ["204"]}
    update_site(tx, "x", {"expect": {"status": [204]}}, **BY)
    assert len(history(tx)) == 2


# --- test now -------------------------------------------------------------------------------------------------------


def test_a_check_now_asks_each_region_once_however_often_it_is_pressed(tx: Connection) -> None:
    create_site(tx, site("x"), **BY)
    assert [request_check(tx, "x", **BY) for _ in range(3)] == [2, 2, 2]
    assert len(tx.execute(select(t.manual_checks)).all()) == 2
    tx.execute(update(t.manual_checks).values(taken_at=NOW))
    request_check(tx, "x", **BY)
    assert len(tx.execute(select(t.manual_checks)).all()) == 4


def test_a_paused_site_is_asked_for_nothing(tx: Connection) -> None:
    create_site(tx, site("x", paused=True), **BY)
    assert request_check(tx, "x", **BY) == 0


# --- current state --------------------------------------------------------------------------------------------------


def test_current_state_survives_an_edit_and_not_a_pause(tx: Connection) -> None:
    create_site(tx, site("x"), **BY)
    tx.execute(update(t.series).values(state="down", fresh_until=NOW + timedelta(hours=1)))
    tx.execute(update(t.verdicts).values(state="down", since=NOW))
    update_site(tx, "x", {"interval_s": 60, "timeout_s": 5}, **BY)
    assert tx.execute(select(t.series.c.state, t.series.c.interval_s).distinct()).all() == [("down", 60)]
    assert tx.execute(select(t.series.c.settle_s).distinct()).scalars().all() == [5 + 1 * (5 + 5)]
    pause_sites(tx, ["x"], paused=True, now=NOW + SECOND, actor="test")
    assert tx.execute(select(t.series)).all() == []
    assert [tuple(row) for row in tx.execute(select(t.verdicts.c.state, t.verdicts.c.since))] == [
        ("unknown", NOW + SECOND)
    ]
    update_site(tx, "x", {"name": "Still paused"}, now=NOW + 2 * SECOND, actor="test")
    assert tx.execute(select(t.verdicts.c.since)).scalar_one() == NOW + SECOND


# --- a whole file ---------------------------------------------------------------------------------------------------


def declared(**parts: Any) -> Declared:
    return Declared.model_validate(parts)


def test_a_file_creates_changes_and_leaves_alone(tx: Connection) -> None:
    create_sites(tx, [site("same"), site("old"), site("unnamed")], **BY)
    file = declared(
        regions=[{"key": "a"}, {"key": "c"}, {"key": "b", "proxy": "http://p:1"}],
        sites=[site("same").model_dump(), site("old", interval_s=60).model_dump(), site("new").model_dump()],
    )
    assert apply(tx, file, **BY) == Applied(["c", "new"], ["b", "old"], ["a", "same"])
    assert apply(tx, file, **BY) == Applied([], [], ["a", "c", "b", "same", "old", "new"])
    assert series(tx) == active(tx) == {(s, r) for s in ("same", "old", "unnamed", "new") for r in ("a", "b", "c")}


def test_a_file_is_one_edit_with_one_revision_a_series(tx: Connection) -> None:
    create_site(tx, site("x"), **BY)
    file = declared(regions=[{"key": "a", "proxy": "http://p:1"}], sites=[site("x", interval_s=60).model_dump()])
    apply(tx, file, now=NOW + SECOND, actor="test")
    assert history(tx)[2:] == [("a", True, 1.0), ("b", True, 1.0)]


def test_every_problem_of_a_file_is_named_by_its_place_in_the_file_and_nothing_is_changed(store: Engine) -> None:
    with store.begin() as tx:
        create_sites(tx, [site("old"), site("x")], **BY)
    file = declared(
        regions=[{"key": "c"}],
        sites=[
            site("new").model_dump(),
            site("old", regions=["mars"]).model_dump(),
            site("y", url="https://x.example").model_dump(),
            site("z", regions=["pluto"]).model_dump(),
        ],
    )
    with pytest.raises(InvalidInputError) as refused, store.begin() as tx:
        apply(tx, file, **BY)
    assert sorted(p.field for p in refused.value.problems) == ["sites[1].regions", "sites[2].url", "sites[3].regions"]
    with store.connect() as tx:
        assert [found.key for found in all_sites(tx)] == ["old", "x"]
        assert [region.key for region in list_regions(tx)] == ["a", "b"]


def test_a_file_may_name_the_region_that_it_creates(tx: Connection) -> None:
    apply(tx, declared(regions=[{"key": "c"}], sites=[site("x", regions=["c"]).model_dump()]), **BY)
    assert series(tx) == {("x", "c")}


def test_a_name_that_is_there_twice_is_refused(tx: Connection) -> None:
    twice = [site("x").model_dump(), site("x", url="https://y.example").model_dump()]
    with pytest.raises(InvalidInputError, match=r"sites\[1\]\.key: 'x' is named twice"):
        apply(tx, declared(sites=twice), **BY)


def test_a_file_with_nothing_new_does_not_hold_the_pusher(store: Engine) -> None:
    file = declared(sites=[site("x").model_dump()])
    with store.begin() as tx:
        apply(tx, file, **BY)
    with store.begin() as tx:
        apply(tx, file, **BY)
        with store.begin() as pushing:
            pushing.execute(text("select 1 from pusher for update nowait"))


# --- several at once ------------------------------------------------------------------------------------------------


def together(store: Engine, *edits: Callable[[Connection], object]) -> list[object]:
    """Each edit in a thread and transaction of its own, begun at the same moment; results or errors in order."""
    barrier = threading.Barrier(len(edits))

    def run(edit: Callable[[Connection], object]) -> object:
        barrier.wait(10)
        try:
            with store.begin() as tx:
                return edit(tx)
        except InvalidInputError as error:
            return error

    with ThreadPoolExecutor(len(edits)) as pool:
        return list(pool.map(run, edits))


def test_of_two_who_add_the_same_key_at_once_one_is_told(store: Engine) -> None:
    results = together(store, *[lambda tx: create_site(tx, site("x"), **BY)] * 4)
    assert sum(isinstance(result, InvalidInputError) for result in results) == 3
    with store.connect() as tx:
        assert series(tx) == active(tx) == {("x", "a"), ("x", "b")}
        assert len(history(tx)) == 2


def test_keys_made_from_urls_do_not_collide_when_made_at_once(store: Engine) -> None:
    def add(number: int) -> Callable[[Connection], object]:
        def edit(tx: Connection) -> object:
            [fields] = with_keys(tx, [{"url": f"https://same.example/?n={number}"}])
            return create_site(tx, SiteIn.model_validate(fields), **BY).key

        return edit

    assert len(set(together(store, *[add(number) for number in range(5)]))) == 5


def test_two_who_apply_the_same_file_at_once_both_succeed(store: Engine) -> None:
    file = declared(regions=[{"key": "c"}], sites=[site("x").model_dump(), site("y").model_dump()])
    results = together(store, *[lambda tx: apply(tx, file, **BY)] * 3)
    assert sorted(len(result.created) for result in results if isinstance(result, Applied)) == [0, 0, 3]


def test_edits_at_once_leave_series_and_revisions_in_step_and_ids_in_order_of_commit(store: Engine) -> None:
    with store.begin() as tx:
        create_sites(tx, [site(f"s{n}") for n in range(6)], **BY)
    edits: list[Callable[[Connection], object]] = [
        lambda tx: pause_sites(tx, ["s0", "s3"], paused=True, **BY),
        lambda tx: pause_sites(tx, ["s3", "s0"], paused=False, **BY),
        lambda tx: update_site(tx, "s1", {"interval_s": 33}, **BY),
        lambda tx: update_site(tx, "s1", {"regions": ["a"]}, **BY),
        lambda tx: delete_sites(tx, ["s2"], **BY),
        lambda tx: create_region(tx, RegionIn(key="c"), **BY),
        lambda tx: delete_region(tx, "b", **BY),
        lambda tx: apply(tx, declared(sites=[site("s4", interval_s=9).model_dump(), site("n").model_dump()]), **BY),
    ]
    together(store, *edits)
    with store.connect() as tx:
        assert active(tx) == series(tx)
        assert count_active(tx) == len(series(tx))
        wanted = {(s.key, r) for s in all_sites(tx) if not s.paused for r in s.regions or ("a", "c")}
        assert series(tx) == wanted
        assert get_site(tx, "s1").interval_s == 33
        assert get_site(tx, "s1").regions == ["a"]
    assert all(region != "b" for _, region in wanted)


def test_an_edit_and_a_recorder_that_lock_many_sites_do_not_lock_each_other_out(store: Engine) -> None:
    """The recorder locks verdicts in order of site: an edit of several sites in any order has to do the same."""
    keys = [f"s{n}" for n in range(20)]
    with store.begin() as tx:
        create_sites(tx, [site(key) for key in keys], **BY)
    backwards = declared(sites=[site(key, interval_s=60).model_dump() for key in reversed(keys)])

    def record(tx: Connection) -> None:
        for site_id in tx.execute(select(t.sites.c.id).order_by(t.sites.c.id)).scalars().all():
            tx.execute(select(t.verdicts).where(t.verdicts.c.site_id == site_id).with_for_update())

    for _ in range(5):
        together(store, record, lambda tx: apply(tx, backwards, **BY), record)
        with store.begin() as tx:
            apply(tx, declared(sites=[site(key).model_dump() for key in keys]), **BY)


# --- keys, tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://www.example.com", "www-example-com"),
        ("https://example.com:8443/a/b?c=d#e", "example-com-a-b"),
        ("https://EXAMPLE.com/Ünï", "example-com-n"),
        ("https://[::1]/", "1"),
        (f"https://{'a' * 63}.example/", "a" * 56),
        ("https://例え.jp/", "jp"),
        ("https://例え/", "site"),
    ],
)
def test_a_key_reads_like_its_url(url: str, key: str) -> None:
    assert suggest_key(url, set()) == key
    assert suggest_key(url, {key, f"{key}-2"}) == f"{key}-3"
    SiteIn(key=suggest_key(url, {key}), url=url)


def test_the_tables_in_code_are_those_that_the_migrations_make(store: Engine) -> None:
    def ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:
        return kind not in {"index", "unique_constraint", "foreign_key_constraint"} and not (name or "").startswith(
            ("ticks_", "alembic_")
        )

    with store.connect() as connection:
        options = {"include_object": ours, "compare_type": True, "compare_server_default": False}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, t.metadata)
    assert [each for each in differences if each[0] not in {"add_fk", "remove_fk"}] == []


def test_history_is_never_rewritten(tx: Connection) -> None:
    """A removed site's ticks still find its row and its region's."""
    found = create_site(tx, site("x"), **BY)
    tx.execute(insert(t.dirty_hours).values(at=NOW, site_id=found.id, region_id=1))
    delete_sites(tx, ["x"], **BY)
    assert tx.execute(select(t.sites.c.key).where(t.sites.c.id == found.id)).scalar_one() == "x"
