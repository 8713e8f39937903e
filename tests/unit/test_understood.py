"""What was pasted is read as it is meant, and what cannot be used is told by its line."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.csv_sites import seconds
from pipeline.errors import InvalidInputError
from pipeline.sitemaps import Choice, choose, read_sitemap
from pipeline.understood import MOST, Defaults, Form, Understood, of_pages, read, settle, text_of, urls_of

YAML = """\
regions:
  - key: eu
sites:
  - key: web
    url: https://example.com
    interval_s: 30
    regions: [eu]
  - {key: api, url: "https://api.example.com", method: HEAD}
"""


def understood(
    text: str,
    *,
    watched: Mapping[str, str] | None = None,
    taken: Collection[str] = (),
    known_regions: Collection[str] = (),
    **defaults: Any,
) -> Understood:
    pasted = read(dedent(text), Defaults(**defaults))
    return settle(pasted, watched=watched or {}, taken=taken, known_regions=known_regions)


def new(found: Understood) -> list[tuple[int, str, str]]:
    return [(entry.line, entry.site.key, entry.site.url) for entry in found.new]


def told(found: Understood) -> list[str]:
    return [f"{problem.line} {problem.field} | {problem.message}" for problem in found.problems]


# --- lines ------------------------------------------------------------------------------------------------------------


def test_lines_are_urls_with_or_without_a_scheme() -> None:
    found = understood("""\
        # our shops
        https://shop.example.com/health

        shop.example.org
          - http://a.example
        2. "b.example/x?y=1",
        <https://c.example>
        """)
    assert found.form is Form.URLS
    assert new(found) == [
        (2, "shop-example-com-health", "https://shop.example.com/health"),
        (4, "shop-example-org", "https://shop.example.org"),
        (5, "a-example", "http://a.example"),
        (6, "b-example-x", "https://b.example/x?y=1"),
        (7, "c-example", "https://c.example"),
    ]
    assert found.new[0].site.name == "shop.example.com/health"


def test_a_machine_nearby_is_asked_without_tls_unless_told_otherwise() -> None:
    found = understood("localhost:8000/x\n192.168.0.4\nnas.local\nhttps://127.0.0.1\n[::1]:81")
    assert [url for _, _, url in new(found)] == [
        "http://localhost:8000/x", "http://192.168.0.4", "http://nas.local", "https://127.0.0.1", "http://[::1]:81"
    ]  # fmt: skip


def test_several_urls_of_one_line_are_several_sites() -> None:
    found = understood("https://a.example, https://b.example/?q=1,2 https://c.example")
    assert new(found) == [
        (1, "a-example", "https://a.example"),
        (1, "b-example", "https://b.example/?q=1,2"),
        (1, "c-example", "https://c.example"),
    ]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("hello", "write http://hello"),
        ("https:/a.example/x", "two slashes are missing: write https://a.example/x"),
        ("https:a.example", "two slashes are missing: write https://a.example"),
        ("https://a b", "a URL has no spaces in it"),
        ("ftp://a.example", "the scheme 'ftp' cannot be probed yet"),
        ("https://a.example,Shop", "a table with a first line such as url,name"),
        ("https://user:pw@a.example", "leave user and password out"),
        ("https://[::1", "this is not a URL"),
        ("https://a.example:99999", "this is not a URL"),
        (f"https://a.example/{'x' * 2_000}", "must have 2000 characters or fewer"),
        ("https://a.example/\x00", "no spaces"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_with_what_to_do(line: str, advice: str) -> None:
    found = understood(f"https://good.example\n{line}")
    assert len(found.new) == 1
    assert [problem.line for problem in found.problems] == [2]
    assert advice in found.problems[0].message


def test_what_is_watched_already_or_stands_further_up_is_not_added() -> None:
    text = "https://a.example\nHTTPS://A.example/\nb.example/\nc.example#top\nc.example"
    found = understood(text, watched={"https://b.example": "bee"}, taken={"bee", "a-example"})
    assert new(found) == [(1, "a-example-2", "https://a.example"), (4, "c-example", "https://c.example#top")]
    assert [(present.line, present.key) for present in found.present] == [(2, ""), (3, "bee"), (5, "")]
    asked = urls_of(read(text, Defaults()))
    assert {"https://b.example", "https://b.example/"} <= set(asked)


def test_keys_are_free_and_unlike_each_other() -> None:
    found = understood("\n".join(f"https://a.example/?q={number}" for number in range(4)), taken={"a-example-2"})
    assert [key for _, key, _ in new(found)] == ["a-example", "a-example-3", "a-example-4", "a-example-5"]


def test_defaults_hold_for_each_line() -> None:
    site = understood("https://a.example", interval_s=30, regions=("eu",), tags=("shop",)).sites[0]
    assert (site.interval_s, site.timeout_s, site.regions, site.tags) == (30, 10.0, ["eu"], ["shop"])


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_is_read_whatever_stands_between_its_columns(delimiter: str) -> None:
    lines = [
        ["Friendly Name", "Interval", "Tags", "URL", "Owner"],
        [f'"Shop{delimiter} EU"', "5 min", "a / b", "shop.example", "x"],
        ["", "", "", "https://b.example/?q=1", ""],
    ]
    found = understood("\n".join(delimiter.join(line) for line in lines), interval_s=60, tags=("all",))
    assert found.form is Form.TABLE
    first, second = found.sites
    assert (first.key, first.name, first.url) == ("shop-example", f"Shop{delimiter} EU", "https://shop.example")
    assert (first.interval_s, first.tags) == (300, ["a / b", "all"])
    assert (second.name, second.interval_s, second.tags) == ("b.example", 60, ["all"])
    assert found.notes == ["columns that are not used: Owner"]


def test_every_column_that_a_site_has_can_be_given() -> None:
    site = understood("""\
        Key,Website,Check interval (minutes),Timeout,Regions,Method,Expected status,Active
        web,https://a.example,1.5,5s,eu|us,head,"200, 300-399",no
        """).sites[0]
    assert (site.key, site.interval_s, site.timeout_s, site.regions) == ("web", 90, 5.0, ["eu", "us"])
    assert (site.method, site.expect.status, site.paused) == ("HEAD", ["200", "300-399"], True)


def test_lines_are_counted_through_quotes_blank_lines_and_a_byte_order_mark() -> None:
    found = understood(
        '\ufeffurl,name\r\n"https://a.example","two\r\nlines"\r\n\r\nftp://x,\r\nhttps://b.example,B,7\r\n,C'
    )
    assert new(found) == [(2, "a-example", "https://a.example")]
    assert [problem.line for problem in found.problems] == [5, 6, 7]
    assert "put quotes around a value with a comma in it" in found.problems[1].message
    assert "there is no URL in this row" in found.problems[2].message


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("https://a.example,soon,,", "interval | 'soon' is no time: write 90, 90s or 5m"),
        ("https://a.example,0,,", "https://a.example | interval_s: must be 1 or more"),
        ("https://a.example,,maybe,", "paused | 'maybe' is neither yes nor no"),
        ("https://a.example,,,A B", "https://a.example | key: use a-z, 0-9 and -"),
        ("https://a.example,,,taken", "key | the key 'taken' is in use already"),
    ],
)
def test_a_cell_that_cannot_be_used_is_told_with_its_column(row: str, said: str) -> None:
    found = understood(f"url,interval,paused,key\n{row}", taken={"taken"})
    assert not found.new
    assert said in told(found)[0]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("name,interval\nShop,60", "name, interval"),
        ("Friendly Name;Thing\nShop;https://x.example", "Friendly Name, Thing"),
    ],
)
def test_a_table_without_urls_names_the_columns_that_it_has(text: str, columns: str) -> None:
    found = understood(text)
    assert told(found) == [f"1  | no column holds the URLs: the columns are {columns}. Call one of them url"]


def test_two_rows_may_ask_the_same_url_for_different_things() -> None:
    found = understood("url,method\nhttps://a.example,GET\nhttps://a.example,HEAD\nhttps://a.example,GET")
    assert [site.method for site in found.sites] == ["GET", "HEAD"]
    assert [present.line for present in found.present] == [4]


@pytest.mark.parametrize(
    ("text", "found"), [("90", 90), ("90 s", 90), ("1.5m", 90), ("5 minutes", 300), ("1h", 3600), ("2 hrs", 7200)]
)
def test_times_are_read_as_people_write_them(text: str, found: float) -> None:
    assert seconds(text) == found


# --- our file ---------------------------------------------------------------------------------------------------------


def test_our_own_file_is_read_with_its_regions() -> None:
    found = understood(YAML, interval_s=900)
    assert found.form is Form.DECLARED
    assert new(found) == [(4, "web", "https://example.com"), (8, "api", "https://api.example.com")]
    assert [site.interval_s for site in found.sites] == [30, 180]  # the file says what holds
    assert [region.key for region in found.regions] == ["eu"]


def test_of_our_own_file_what_is_there_already_stays_as_it_is() -> None:
    found = understood(YAML, taken={"web"}, known_regions={"eu"})
    assert [key for _, key, _ in new(found)] == ["api"]
    assert [(present.line, present.key) for present in found.present] == [(4, "web")]
    assert found.regions == []


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("sites:\n  - key: a\n    url: https://a.example\n    interval_s: 0\n", 4, "must be 1 or more"),
        ("sites:\n  - key: a\n    url: [\n", 4, "this is not YAML"),
        ("site:\n  - key: a\n", 1, "there is no such field"),
        ("- key: a\n  url: https://a.example\n", 1, "write a list under `sites:`"),
        ('{"sites": [{"key": "a"}]}', 1, "this field is needed"),
        ("sites:\n- {key: a, url: https://a.example}\n- {key: a, url: https://b.example}\n", 3, "'a' is there twice"),
    ],
)
def test_a_problem_in_our_own_file_is_told_with_its_line(text: str, line: int, said: str) -> None:
    found = understood(text)
    assert found.form is Form.DECLARED
    assert [problem.line for problem in found.problems] == [line]
    assert said in found.problems[0].message


def test_a_table_may_say_what_is_expected_of_an_answer() -> None:
    head = "url;expected status;body contains;json;max latency ms;tls_days"
    good = "https://a.example;200;Welcome back;$.status == ok;800;14"
    text = f"{head}\n{good}\nhttps://b.example;;;status == 1;;\n"
    pasted = read(text, Defaults())
    [entry] = pasted.entries
    assert entry.site.expect.model_dump() == {
        "status": ["200"],
        "body_contains": ["Welcome back"],
        "json": ["$.status == ok"],
        "max_latency_ms": 800.0,
        "tls_days": 14,
    }
    [problem] = pasted.problems
    assert (problem.line, "write $.status" in problem.message) == (3, True)


def test_the_status_of_another_monitor_is_not_what_is_expected() -> None:
    pasted = read("Friendly Name,URL,Status\nShop,https://a.example,Up\nBlog,https://b.example,Down", Defaults())
    assert not pasted.problems
    assert [entry.site.expect.status for entry in pasted.entries] == [["200-399"], ["200-399"]]
    assert pasted.notes == ["Status is not used: 'Up' is how a site was, and no status to expect"]


def test_a_status_column_of_codes_is_what_is_expected_and_a_slip_in_it_is_told() -> None:
    pasted = read("url,status\nhttps://a.example,200-299 404\nhttps://b.example,2oo", Defaults())
    assert [entry.site.expect.status for entry in pasted.entries] == [["200-299", "404"]]
    assert [problem.line for problem in pasted.problems] == [3]


def test_rows_of_monitors_that_ask_for_no_page_are_told() -> None:
    text = "Type,Name,URL\nHTTP(s),Shop,https://a.example\nPing,Router,10.0.0.1\nkeyword,Blog,b.example\nPort,SSH,c.example"
    pasted = read(text, Defaults())
    assert [entry.site.name for entry in pasted.entries] == ["Shop", "Blog"]
    assert [(problem.line, problem.field, problem.message) for problem in pasted.problems] == [
        (3, "Router", "this is a Ping monitor: only HTTP, TCP and TLS are checked"),
        (5, "SSH", "this is a Port monitor: write its URL as tcp://host:port"),
    ]
    assert not pasted.notes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " | "])
def test_lines_of_a_url_and_a_name_need_no_header(delimiter: str) -> None:
    pasted = read(f"http://a.example/fast{delimiter}Fast one\n\nhttps://b.example{delimiter}slow\n", Defaults())
    assert pasted.form is Form.TABLE
    assert [(entry.line, entry.site.url, entry.site.name) for entry in pasted.entries] == [
        (1, "http://a.example/fast", "Fast one"),
        (3, "https://b.example", "slow"),
    ]
    assert "read as url,name" in pasted.notes[0]


@pytest.mark.parametrize(
    "text", ["https://a.example/x,y", "https://a.example/,b/c d", "https://a.example;Jsessionid=1"]
)
def test_a_url_with_a_comma_in_it_stays_one(text: str) -> None:
    assert read(text, Defaults()).form is Form.URLS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://a.example/,Shop,60\nhttps://b.example/,The blog,30", "put a first line above that names the columns"),
        ("Fast one,https://a.example/", "put a first line above that names the columns: url,name"),
        ("http//oops", "a colon is missing: write http://oops"),
        ("https//oops.example/x", "a colon is missing: write https://oops.example/x"),
    ],
)  # fmt: skip
def test_what_is_nearly_a_url_is_told_how_to_write_it(text: str, said: str) -> None:
    pasted = read(text, Defaults())
    assert said in pasted.problems[0].message


def test_a_list_as_programs_write_it_is_one_of_urls() -> None:
    pasted = read('[\n  "https://a.example/",\n  "b.example",\n  "ftp://c.example"\n]', Defaults())
    assert [(entry.line, entry.site.url) for entry in pasted.entries] == [
        (2, "https://a.example/"),
        (3, "https://b.example"),
    ]
    assert [problem.line for problem in pasted.problems] == [4]


def test_the_text_of_a_page_is_not_called_a_sitemap() -> None:
    assert read("<!DOCTYPE html><html><body>Hello</body></html>", Defaults()).form is Form.NOTHING
    assert read("<urlset><url><loc>https://a.example/</loc>", Defaults()).form is Form.SITEMAP


# --- sitemaps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["https://a.example/sitemap.xml", "a.example/maps/pages.xml.gz", "https://a.example/sitemap_index.xml?x=1\n"],
)
def test_the_address_of_a_sitemap_is_one(text: str) -> None:
    pasted = read(text, Defaults())
    assert (pasted.form, pasted.sitemap) == (Form.SITEMAP_URL, pasted.entries[0].site.url)
    assert read(f"{text}\nhttps://b.example", Defaults()).form is Form.URLS


def test_the_text_of_a_sitemap_is_one() -> None:
    pasted = read(
        '<?xml version="1.0" encoding="iso-8859-1"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        ' xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url><loc> https://a.example/\u00fc </loc>'
        "<image:image><image:loc>https://a.example/x.png</image:loc></image:image></url></urlset>",
        Defaults(),
    )
    assert (pasted.form, pasted.pages) == (Form.SITEMAP, ["https://a.example/\u00fc"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!doctype html><html>", "this is a web page, not a sitemap"),
        ("<urlset><url>", "this is not XML that can be read"),
        ("<sitemapindex><sitemap><loc>https://a/b.xml</loc></sitemap></sitemapindex>", "paste the address of one"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><urlset/>", "this declares a document type or entities"),
    ],
)
def test_xml_that_is_no_sitemap_is_told_as_what_it_is(text: str, said: str) -> None:
    found = understood(text)
    assert said in found.problems[0].message


def test_of_a_sitemap_a_few_pages_stand_for_all() -> None:
    pages = ["https://a.example/blog/2", "https://a.example/blog", "https://a.example/", "https://a.example/shop/x",
             "https://b.example/en"]  # fmt: skip
    assert choose(pages, Choice.FRONT) == ["https://a.example/", "https://b.example/en"]
    assert choose(pages, Choice.SECTIONS) == [pages[1], pages[2], pages[3], pages[4]]
    assert choose(pages, Choice.FIRST, 2) == pages[:2]
    assert choose(pages, Choice.ALL) == pages
    found = settle(of_pages(choose(pages, Choice.FRONT), Defaults()), watched={"https://a.example": "a"}, taken={"a"})
    assert [key for _, key, _ in new(found)] == ["b-example-en"]


# --- all of it --------------------------------------------------------------------------------------------------------


def test_files_are_read_as_editors_and_spreadsheets_save_them() -> None:
    text = "url,name\nhttps://a.example,Zürich"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        assert understood(text_of(text.encode(encoding))).sites[0].name == "Zürich"


def test_nothing_is_nothing() -> None:
    assert understood(" \n\t\n").form is Form.NOTHING
    assert read("x" * (1 << 20) + "y", Defaults()).problems[0].message.startswith("this is more than 1 MB")


@pytest.mark.parametrize("text", ["x" * 200_000, "[" * 200_000, "[" * 2_000 + "]" * 2_000, "a b " * 50_000])
def test_a_line_that_no_reader_gets_to_the_end_of_is_told(text: str) -> None:
    found = read(text, Defaults())
    assert not found.entries
    assert found.problems


def test_no_more_than_a_person_adds_at_once() -> None:
    found = understood("\n".join(f"https://h{number}.example" for number in range(MOST + 3)))
    assert len(found.new) == MOST
    assert told(found) == [f"{MOST + 1}  | only {MOST:,} sites at once: from here on nothing is taken"]


def test_five_thousand_lines_stay_fast() -> None:
    alike = "\n".join(f"https://a.example/?page={number}" for number in range(MOST))
    table = "url,name,interval,tags\n" + "\n".join(f"h{n}.example,N{n},60,a;b" for n in range(MOST))
    wrong = "\n".join(f"https://a b{number}" for number in range(MOST))
    began = time.process_time()
    for text in (alike, table, wrong):
        understood(text)
    assert time.process_time() - began < 5  # some 0.4 s: a loop over loops would take minutes


@given(st.text(alphabet="ab1.:/-,;|\"'<>{}[]#&* \n\t\x00\ud800é", max_size=60))
def test_whatever_is_pasted_is_understood_or_told(text: str) -> None:
    found = understood(text)
    assert found.form is Form.NOTHING or found.new or found.present or found.problems or text.strip()
    assert len({entry.site.key for entry in found.new}) == len(found.new)


@given(st.text(alphabet="<>/!?&;:= \n\"'urlsetoc[]CDATA-", max_size=80))
def test_whatever_is_xml_or_not_is_read_or_refused(text: str) -> None:
    try:
        pages = read_sitemap(text).pages
    except InvalidInputError:
        return
    assert pages
