"""What is left of a text: the very lines that were not taken, ready to be mended."""

from __future__ import annotations

import pytest

from pipeline.leftover import Leftover, leftover
from pipeline.understood import MOST, Defaults, of_pages, read, settle


def left_of(text: str, taken: tuple[str, ...] = ()) -> Leftover:
    return leftover(text, settle(read(text, Defaults()), watched={}, taken=taken))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://a.example", Leftover()),
        ("https://a.example\n\nftp://b.example\nc.de\nhttp:/d.de", Leftover("ftp://b.example\nhttp:/d.de", 2)),
        ("https://a.example ftp://b.example gopher://c.example", Leftover("ftp://b.example gopher://c.example", 1)),
        ("url,interval\na.example,60\nb.example,soon\n", Leftover("url,interval\nb.example,soon", 1)),
        (
            'url;name\na.example;A\nftp://b.example;"B\nor C"\nc.example;C',
            Leftover('url;name\nftp://b.example;"B\nor C"', 1),
        ),
        ("url,key\na.example,web\nb.example,api", Leftover("url,key\na.example,web", 1)),
        ("sites:\n  - {key: a}", Leftover()),
    ],
)  # fmt: skip
def test_it_is_what_was_not_taken(text: str, left: Leftover) -> None:
    assert left_of(text, taken=("web",)) == left


def test_of_too_many_it_is_the_rest() -> None:
    lines = [f"https://{number}.example" for number in range(MOST + 3)]
    assert left_of("\n".join(lines)) == Leftover("\n".join(lines[MOST:]), 3)
    table = ["url", *lines]
    assert left_of("\n".join(table)) == Leftover("\n".join(["url", *lines[MOST:]]), 3)


def test_of_a_sitemap_it_is_the_pages() -> None:
    text = "<urlset><url><loc>ftp://a.example/</loc></url><url><loc>https://b.example/</loc></url></urlset>"
    pasted = read(text, Defaults())
    assert leftover(text, settle(of_pages(pasted.pages, Defaults()), watched={}, taken=())).text == "ftp://a.example/"
