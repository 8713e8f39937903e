"""Two windows on one thing: nobody's change undoes another's, and what is gone is said in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from app import data
from pipeline.store.regions import get_region
from pipeline.store.sites import get_site
from tests.app.conftest import Workbench
from tests.harness import writing

Said = Callable[[AppTest], str]


def site_settings(workbench: Workbench) -> AppTest:
    app = workbench.open("site", site="shop")
    return app.button(key="edit").click().run()


def region_settings(workbench: Workbench, key: str) -> AppTest:
    return workbench.open("regions").button(key=f"edit-{key}").click().run()


def save(app: AppTest, form: str = "site") -> AppTest:
    return app.button(key=f"{form}-submit").click().run()


def test_each_window_changes_only_what_was_changed_in_it(workbench: Workbench) -> None:
    workbench.add("shop", interval_s=60)
    mine = site_settings(workbench)
    data.change_site("shop", {"name": "The shop", "tags": ["web"], "headers": {"Accept": "text/html"}})
    mine.number_input(key="site-interval_s").set_value(120)
    save(mine)
    with writing(workbench.dsn) as connection:
        site = get_site(connection, "shop")
    assert (site.name, site.tags, site.headers, site.interval_s) == ("The shop", ["web"], {"Accept": "text/html"}, 120)


def test_a_field_that_both_changed_is_told_once_and_then_as_who_saves_again_wants_it(
    workbench: Workbench, said: Said
) -> None:
    workbench.add("shop")
    mine = site_settings(workbench)
    data.change_site("shop", {"name": "Theirs"})
    mine.text_input(key="site-name").set_value("Mine")
    assert "✕ changed meanwhile to 'Theirs': save again if yours is to hold" in said(save(mine))
    assert data.site("shop").name == "Theirs"
    save(mine)
    data.site.clear()
    assert data.site("shop").name == "Mine"


def test_after_it_was_told_even_what_the_form_was_opened_with_can_be_chosen(workbench: Workbench) -> None:
    workbench.add("shop")
    mine = site_settings(workbench)
    data.change_site("shop", {"name": "Theirs"})
    mine.text_input(key="site-name").set_value("Mine")
    save(mine)
    mine.text_input(key="site-name").set_value("Shop")
    save(mine)
    assert data.site("shop").name == "Shop"


def test_both_may_change_a_field_to_the_same(workbench: Workbench) -> None:
    workbench.add("shop")
    mine = site_settings(workbench)
    data.change_site("shop", {"name": "Better"})
    mine.text_input(key="site-name").set_value("Better")
    assert "Better is saved." in [toast.value for toast in save(mine).toast]


def test_a_region_keeps_what_the_other_window_changed(workbench: Workbench, said: Said) -> None:
    mine = region_settings(workbench, "local-a")
    data.change_region("local-a", {"name": "Theirs", "resolvers": ["9.9.9.9"]})
    mine.number_input(key="region-max_probers").set_value(7)
    save(mine, "region")
    with writing(workbench.dsn) as connection:
        region = get_region(connection, "local-a")
    assert (region.name, region.network.resolvers, region.max_probers) == ("Theirs", ("9.9.9.9",), 7)
    mine = region_settings(workbench, "local-a")
    data.change_region("local-a", {"name": "Theirs again"})
    mine.text_input(key="region-name").set_value("Mine")
    assert "changed meanwhile to 'Theirs again'" in said(save(mine, "region"))


def test_a_proxy_that_has_a_secret_is_no_change_of_mine(workbench: Workbench, said: Said) -> None:
    data.change_region("local-a", {"proxy": "http://prober:s3cret@proxy.example:3128"})
    mine = region_settings(workbench, "local-a")
    data.change_region("local-a", {"proxy": "http://prober:0ther@proxy.example:3128"})
    mine.text_input(key="region-name").set_value("Mine")
    assert "changed meanwhile" not in said(save(mine, "region"))
    assert data.region("local-a").name == "Mine"


@pytest.mark.parametrize("name", ["Shop", "Mine"])
def test_settings_of_a_site_that_was_deleted_meanwhile_say_so(workbench: Workbench, said: Said, name: str) -> None:
    workbench.add("shop", "blog")
    mine = site_settings(workbench)
    data.delete(["shop"])
    mine.text_input(key="site-name").set_value(name)
    assert "There is no site 'shop'" in said(save(mine))
    (problem,) = mine.session_state["problems-site"]
    assert problem[1] == "there is no site 'shop' any more: it was deleted meanwhile"


def test_a_region_that_was_removed_meanwhile_says_so_and_does_not_come_back(workbench: Workbench, said: Said) -> None:
    mine = region_settings(workbench, "local-a")
    data.delete_region("local-a")
    mine.text_input(key="region-name").set_value("Mine")
    assert "there is no region 'local-a' any more: it was deleted meanwhile" in said(save(mine, "region"))
    assert [region.key for region in data.all_regions()] == ["local-b"]


@pytest.mark.parametrize(
    ("page", "parameters"), [("site", {"site": "\0"}), ("site", {"site": "shop\0"}), ("sites", {"q": "\0"})]
)
def test_an_address_with_a_nul_in_it_is_read_without_it(
    workbench: Workbench, said: Said, page: str, parameters: dict[str, str]
) -> None:
    workbench.add("shop")
    said(workbench.open(page, **parameters))


def test_a_field_that_may_hold_a_secret_is_told_without_it(workbench: Workbench, said: Said) -> None:
    mine = region_settings(workbench, "local-a")
    data.change_region("local-a", {"proxy": "http://proxy.example:3128"})
    mine.text_input(key="region-proxy").set_value("http://mine.example:3128")
    assert "✕ changed meanwhile: save again if yours is to hold" in said(save(mine, "region"))
