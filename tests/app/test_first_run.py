"""The first run: one box that takes what people have, shows what it understood, and then the first checks."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pipeline.store.regions import list_regions
from pipeline.store.sites import all_sites
from pipeline.vocabulary import Site
from tests.app.conftest import Workbench
from tests.harness import writing

Said = Callable[[AppTest], str]
YAML = """\
regions:
  - key: eu
sites:
  - key: web
    url: https://example.com
    interval_s: 30
    regions: [eu]
  - {key: api, url: "https://api.example.com"}
"""


def sites_of(workbench: Workbench) -> list[Site]:
    with writing(workbench.dsn) as connection:
        return all_sites(connection)


def paste(app: AppTest, text: str) -> AppTest:
    app.text_area(key="first-text").set_value(text)
    return app.run()


def previewed(app: AppTest) -> list[tuple[str, str]]:
    assert not app.exception, app.exception
    table = app.dataframe[0].value
    return list(zip(table[""], table["URL"], strict=True))


def click(app: AppTest, name: str = "add") -> AppTest:
    return app.button(key=f"first-{name}").click().run()


def label(app: AppTest) -> str:
    return str(app.button(key="first-add").label)


class Pages(http.server.BaseHTTPRequestHandler):
    """A site with a sitemap of thirty-one pages in three sections."""

    def do_GET(self) -> None:
        here = f"http://{self.headers['Host']}"
        pages = [f"{here}/", *(f"{here}/{section}/{n}" for section in ("blog", "shop", "docs") for n in range(10))]
        body = f"<urlset>{''.join(f'<url><loc>{page}</loc></url>' for page in pages)}</urlset>".encode()
        self.send_response(200 if self.path == "/sitemap.xml" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_it_begins_with_one_box_and_shows_the_first_checks(workbench: Workbench, said: Said) -> None:
    app = paste(workbench.open(), "https://one.example.com\ntwo.example.com/health")
    assert "A list of URLs" in said(app)
    assert "**2** new" in said(app)
    assert previewed(app) == [("● new", "https://one.example.com"), ("● new", "https://two.example.com/health")]
    assert label(app) == "Watch 2 sites"
    assert sites_of(workbench) == []
    click(app)
    sites = sites_of(workbench)
    assert [site.url for site in sites] == ["https://one.example.com", "https://two.example.com/health"]
    assert sites[0].regions is None  # all of them, also those to come
    assert "waiting" in said(app)
    for site in sites:
        workbench.tick(site)
    st.cache_data.clear()
    app.run()
    assert "First checks are in" in said(app)
    assert any("connect" in str(chart.proto) for chart in app.get("vega_lite_chart"))
    assert "check from more places" in said(app)


def test_one_click_adds_what_was_typed_last_unless_a_line_needs_a_look(workbench: Workbench, said: Said) -> None:
    app = workbench.open()
    app.text_area(key="first-text").set_value("https://ok.example.com\nftp://files.example.com")
    click(app)
    assert "line 2 `ftp://files.example.com` :gray[the scheme 'ftp' cannot be probed yet" in said(app)
    assert sites_of(workbench) == []
    click(app)  # now that it has been seen
    assert [site.url for site in sites_of(workbench)] == ["https://ok.example.com"]


def test_it_says_that_there_is_nothing_to_add_until_there_is(workbench: Workbench, said: Said) -> None:
    app = click(workbench.open())
    assert "there is no new URL here" in said(app)
    assert "there is no new URL here" not in said(paste(app, "a.example"))


def test_a_table_is_added_with_what_its_columns_say(workbench: Workbench, said: Said) -> None:
    text = "Friendly Name;URL;Interval;Tags;Owner\nShop;shop.example;30s;eu, shop;me\n;b.example;;;\nC;c.example;soon;;"
    app = workbench.open()
    app.selectbox(key="first-interval").set_value(300)
    paste(app, text)
    words = said(app)
    assert "A table" in words
    assert "line 4 `Interval` :gray['soon' is no time: write 90, 90s or 5m]" in words
    assert "Columns that are not used: Owner." in words
    click(app)
    assert [(site.key, site.name, site.interval_s, site.tags) for site in sites_of(workbench)] == [
        ("b-example", "b.example", 300, []),
        ("shop-example", "Shop", 30, ["eu", "shop"]),
    ]


def test_a_table_without_urls_names_the_columns_that_it_has(workbench: Workbench, said: Said) -> None:
    app = paste(workbench.open(), "name,interval\nShop,60")
    assert "no column holds the URLs: the columns are name, interval. Call one of them url" in said(app)


def test_our_own_file_is_added_with_its_regions_and_leaves_alone_what_is_there(
    workbench: Workbench, said: Said
) -> None:
    app = paste(workbench.open(), YAML)
    assert "region **eu** :gray[is added with them]" in said(app)
    assert not app.selectbox  # the file says how often
    click(app)
    with writing(workbench.dsn) as connection:
        assert "eu" in {region.key for region in list_regions(connection)}
    assert {site.key: (site.interval_s, site.regions) for site in sites_of(workbench)} == {
        "api": (180, None),
        "web": (30, ["eu"]),
    }
    app = workbench.open("sites")
    app.button(key="open-paste").click().run()
    app.text_area(key="many-text").set_value(
        YAML.replace("30", "90") + "  - {key: new, url: https://new.example}"
    ).run()
    assert list(app.dataframe[-1].value[""]) == ["◌ watched", "◌ watched", "● new"]
    app.button(key="many-add").click().run()
    assert {site.key: site.interval_s for site in sites_of(workbench)} == {"api": 180, "new": 180, "web": 30}


def test_our_own_file_is_taken_as_a_whole(workbench: Workbench, said: Said) -> None:
    app = paste(workbench.open(), YAML + "  - {key: web, url: https://again.example}")
    assert "line 9 `key` :gray[the key 'web' is there twice" in said(app)
    click(app)
    assert "a declared file is taken as a whole" in said(app)
    assert sites_of(workbench) == []


def test_a_sitemap_is_read_when_asked_and_a_few_of_its_pages_are_offered(
    workbench: Workbench, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETTERSTACK_PRIVATE_TARGETS", "127.0.0.1/32")
    app = paste(workbench.open(), f"{site}/sitemap.xml")
    assert label(app) == "Read the sitemap"
    click(app)
    choice = app.segmented_control(key="first-choice")
    assert "names 31 pages" in choice.label
    assert previewed(app) == [("● new", f"{site}/")]
    choice.set_value("sections").run()
    assert label(app) == "Watch 4 sites"
    app.segmented_control(key="first-choice").set_value("first").run()
    app.number_input(key="first-first").set_value(3).run()
    click(app)
    assert [each.url for each in sites_of(workbench)] == [f"{site}/", f"{site}/blog/0", f"{site}/blog/1"]
    assert sites_of(workbench)[0].interval_s == 60


def test_a_sitemap_is_refused_by_the_rule_of_addresses_in_words(workbench: Workbench, said: Said, site: str) -> None:
    app = click(paste(workbench.open(), f"{site}/sitemap.xml"))  # named servers: others share them
    words = said(app)
    assert "127.0.0.1 is this machine itself (loopback): nothing is fetched from there" in words
    assert "You can also paste the sitemap's text here." in words
    assert label(app) == "Read the sitemap"


def test_a_sitemap_that_is_not_there_says_so_and_its_address_can_be_watched(
    workbench: Workbench, said: Said, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETTERSTACK_PRIVATE_TARGETS", "allow")
    app = click(paste(workbench.open(), f"{site}/gone/sitemap.xml"))
    assert "answers 404: there is nothing there" in said(app)
    click(app, "itself")
    assert "answers 404" not in said(app)
    click(app)
    assert [each.url for each in sites_of(workbench)] == [f"{site}/gone/sitemap.xml"]


def test_a_file_goes_into_the_box(workbench: Workbench, said: Said) -> None:
    app = workbench.open()
    app.file_uploader[0].upload("sites.csv", "url,name\na.example,Zürich".encode("cp1252"), "text/csv").run()
    assert app.text_area(key="first-text").value == "url,name\na.example,Zürich"
    assert previewed(app) == [("● new", "https://a.example")]
    app.file_uploader[0].upload("sites.xlsx", b"PK\x03\x04\x00\x00\x81", "application/zip").run()
    assert "this is no text file: save the table as CSV" in said(app)
    click(app)
    assert [site.name for site in sites_of(workbench)] == ["Zürich"]


def test_what_is_pasted_is_shown_as_it_is_and_never_obeyed(workbench: Workbench) -> None:
    app = paste(workbench.open(), "https://a b`](https://evil.example) :red[x] <b>")
    problems = [markdown.value for markdown in app.markdown if "line 1" in markdown.value]
    assert "`https://a b'](https://evil.example) :red[x] <b`" in problems[0]


def test_the_box_answers_for_what_others_added_meanwhile(workbench: Workbench, said: Said) -> None:
    app = workbench.open("sites")
    app.button(key="open-paste").click().run()
    app.text_area(key="many-text").set_value("https://shop.example.com/").run()
    assert app.button(key="many-add").label == "Watch 1 site"
    workbench.add("shop")
    app.button(key="many-add").click().run()
    assert "there is no new URL here" in said(app)
    assert [site.key for site in sites_of(workbench)] == ["shop"]


def test_lines_that_were_not_taken_stay_in_the_box_and_the_toast_says_how_many(
    workbench: Workbench, said: Said
) -> None:
    app = paste(workbench.open(), "https://ok.example.com\nftp://a.example\nhttp:/b.example")
    click(app)
    assert [site.url for site in sites_of(workbench)] == ["https://ok.example.com"]
    assert app.toast[0].value.endswith("on their way. 2 lines were not taken.")
    assert app.text_area(key="first-text").value == "ftp://a.example\nhttp:/b.example"
    assert "These lines were not taken" in said(app)
    click(paste(app, "http://b.example"))
    assert len(sites_of(workbench)) == 2
    assert not app.text_area
    assert "not taken" not in said(app)


def test_lines_that_were_not_taken_can_be_left_out(workbench: Workbench) -> None:
    app = click(paste(workbench.open(), "https://ok.example.com\nftp://a.example"))
    app.button(key="first-discard").click().run()
    assert not app.text_area


def test_pasting_many_stays_open_with_the_lines_that_were_not_taken(workbench: Workbench) -> None:
    workbench.add("shop")
    app = workbench.open("sites")
    app.button(key="open-paste").click().run()
    app.text_area(key="many-text").set_value("name,url,interval\nOne,one.example,60\nTwo,two.example,soon").run()
    app.button(key="many-add").click().run()
    assert app.text_area(key="many-text").value == "name,url,interval\nTwo,two.example,soon"
    app.text_area(key="many-text").set_value("name,url,interval\nTwo,two.example,60").run()
    app.button(key="many-add").click().run()
    assert not app.text_area
    assert len(sites_of(workbench)) == 3


def test_every_line_that_is_not_usable_can_be_read(workbench: Workbench, said: Said) -> None:
    app = paste(workbench.open(), "\n".join(f"ftp://{number}.example" for number in range(30)))
    assert app.expander[0].label == "22 more that are not usable"
    assert "ftp://29.example" in said(app)


def test_a_site_that_one_region_has_not_answered_for_waits(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("slow")
    workbench.tick(site, regions=["local-a"])
    app = workbench.open()
    app.session_state["watching"] = ["slow"]
    words = said(app.run())
    assert "◌ waiting" in words
    assert "waiting for the first check from 1 of 2 regions" in words
    assert "not checked yet" not in words


def test_what_a_sitemap_offers_first_is_called_what_it_is(workbench: Workbench) -> None:
    pages = "".join(f"<url><loc>https://a.example/page/{number}</loc></url>" for number in range(3))
    app = paste(workbench.open(), f"<urlset>{pages}</urlset>")
    assert app.segmented_control(key="first-choice").options[0] == "The shortest address"
