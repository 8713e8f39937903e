"""What somebody pasted or uploaded: which kind of thing it is, which sites it names, and what is wrong with which line.

Two steps, both pure. `read` needs the text alone. `settle` knows what is watched already, and gives each new site its
key. Nothing is guessed in silence: whatever is left out is told with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from pipeline.applicable import is_bare
from pipeline.csv_foreign import fitted, headerless, other_kind, types_of
from pipeline.csv_sites import Header, read_header, read_rows
from pipeline.declared import ExpectIn, RegionIn, SiteIn, parse
from pipeline.declared_file import read_with_lines
from pipeline.errors import InvalidInputError, Problem
from pipeline.guard import is_near
from pipeline.naming import Keys, name_of, same, spellings
from pipeline.sitemaps import looks_like_one, read_sitemap

MOST = 5_000  # sites at once; more is several files for `betterstack apply`
LARGEST = 1 << 20  # 1 MiB, as much as can be uploaded
TOO_MANY = f"only {MOST:,} sites at once: from here on nothing is taken"
UNNAMED = "site"  # stands for a key until the store says which ones are free
PLAIN = ExpectIn()
_BULLET = re.compile(r"^(?:[-*\u2022]|\d{1,4}[.)])\s+")
_WRAPPED = " \t\"'`<>,;"
_STRANGE = re.compile(r"[,;|\"'<>(){}\\^`*]")  # in a host
_NO_COLON = re.compile(r"^(https?)[;.,]?//+", re.IGNORECASE)
TABLE = "put a first line above that names the columns: url,name"
_ONE_SLASH = re.compile(r"^(https?:)/?(?!/)", re.IGNORECASE)


class Form(StrEnum):
    """What a text is."""

    NOTHING = "nothing"
    URLS = "urls"
    TABLE = "table"
    DECLARED = "declared"
    SITEMAP_URL = "sitemap_url"
    SITEMAP = "sitemap"


class Entry(Struct, frozen=True):
    """A site as a line declares it; `has_key` where the text brings its key itself."""

    line: int
    site: SiteIn
    has_key: bool = False


class Pasted(Struct, frozen=True):
    """What a text says. `pages` are a sitemap's, of which some are chosen; a `sitemap` is the address of one to fetch.

    A problem's field is the piece of the line that it is about.
    """

    form: Form
    entries: list[Entry] = []
    problems: list[Problem] = []
    notes: list[str] = []
    regions: list[RegionIn] = []
    pages: list[str] = []
    sitemap: str = ""


class Present(Struct, frozen=True):
    """A line that adds nothing: its site is watched as `key` already or, where that is empty, stands further up."""

    line: int
    url: str
    key: str


class Understood(Struct, frozen=True):
    """What adding it would do."""

    form: Form
    new: list[Entry]
    present: list[Present]
    problems: list[Problem]
    notes: list[str]
    regions: list[RegionIn]

    @property
    def sites(self) -> list[SiteIn]:
        return [entry.site for entry in self.new]


class Defaults(Struct, frozen=True):
    """What holds for a line that does not say it."""

    interval_s: int = 180
    regions: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()


def text_of(data: bytes) -> str:
    """The text of a file, as spreadsheets and editors save it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")  # what a spreadsheet on Windows calls CSV


def read(text: str, defaults: Defaults) -> Pasted:
    """The sites that a text names, each judged by the one definition of a site."""
    text = text.removeprefix("\ufeff")
    if len(text) > LARGEST:
        return _refused(Form.NOTHING, "this is more than 1 MB: split it, or use `betterstack apply FILE`")
    if not text.strip():
        return Pasted(Form.NOTHING)
    if looks_like_one(text) and "://" not in text.strip().partition(">")[0].partition(" ")[0]:
        return _read_sitemap(text)
    if _is_declared(text):
        return _read_declared(text)
    if header := read_header(text) or headerless(text):
        return _read_table(text, header, defaults)
    return _read_urls(text, defaults)


def of_pages(pages: Iterable[str], defaults: Defaults) -> Pasted:
    """The chosen pages of a sitemap as sites."""
    return _collected(Form.SITEMAP, ((0, {"url": page}, page) for page in pages), defaults)


def settle(
    pasted: Pasted, *, watched: Mapping[str, str], taken: Collection[str], known_regions: Collection[str] = ()
) -> Understood:
    """What of it is new. `watched` is URL -> key of a site, `taken` are all keys in use."""
    keys, seen = Keys(taken), {same(url): key for url, key in watched.items()}
    understood = Understood(pasted.form, [], [], list(pasted.problems), list(pasted.notes), [])
    understood.regions.extend(region for region in pasted.regions if region.key not in known_regions)
    for entry in pasted.entries:
        url, site = same(entry.site.url), entry.site
        if url in seen and _is_plain(site):
            understood.present.append(Present(entry.line, site.url, seen[url]))
            continue
        if entry.has_key and site.key in keys:
            _repeated(entry, pasted.form, taken, understood)
            continue
        if entry.has_key:
            keys.take(site.key)
            understood.new.append(entry)
        else:
            named = site.model_copy(update={"key": keys.free_for(site.url)})
            understood.new.append(replace(entry, site=named))
        if _is_plain(site):
            seen[url] = ""
    understood.problems.sort(key=lambda problem: problem.line or 0)
    return understood


def urls_of(pasted: Pasted) -> list[str]:
    """Every spelling of the URLs in it, to ask the store about."""
    return sorted({spelling for entry in pasted.entries for spelling in spellings(entry.site.url)})


def _repeated(entry: Entry, form: Form, taken: Collection[str], understood: Understood) -> None:
    """A key of the text's own that is in use: in our file it names that very site, in a table it was made up."""
    key = entry.site.key
    if form is Form.DECLARED and key in taken:
        understood.present.append(Present(entry.line, entry.site.url, key))
    else:
        where = "is in use already" if key in taken else "is there twice"
        understood.problems.append(Problem("key", f"the key {key!r} {where}: choose another", entry.line))


def _is_plain(site: SiteIn) -> bool:
    """Whether the URL alone says what is checked; another method, header or expectation makes another check of it."""
    return site.method == "GET" and not site.headers and site.expect == PLAIN


# --- our own file -----------------------------------------------------------------------------------------------------


def _is_declared(text: str) -> bool:
    """Whether it begins as YAML or JSON does: with a brace, or with a word, a colon and a space."""
    if re.search(r"^(?:sites|regions)\s*:", text, re.MULTILINE):
        return True
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "---")))
    first = next(lines, "")
    return first.startswith("{") or re.match(r"^(?:-\s+)?[A-Za-z_]+:(?:\s|$)", first) is not None


def _read_declared(text: str) -> Pasted:
    try:
        declared, lines = read_with_lines(text)
    except InvalidInputError as error:
        return Pasted(Form.DECLARED, problems=error.problems)
    if len(declared.sites) > MOST:
        return _refused(
            Form.DECLARED, f"it names {len(declared.sites):,} sites: more than {MOST:,} at once are too many"
        )
    entries = [
        Entry(lines.get(f"sites[{position}]", 1), site, has_key=True) for position, site in enumerate(declared.sites)
    ]
    return Pasted(Form.DECLARED, entries, regions=declared.regions)


# --- tables, lines, pages ---------------------------------------------------------------------------------------------

Line = tuple[int, dict[str, Any], str]  # its number, what it says in the terms of SiteIn, and the piece to show


def _read_table(text: str, header: Header, defaults: Defaults) -> Pasted:
    unused = [column for column in header.unused if column != types_of(header)]
    notes = [f"columns that are not used: {', '.join(unused)}"] if unused else []
    fit = fitted(text, header)
    problems: list[Problem] = []

    def lines() -> Iterator[Line]:
        for row in read_rows(text, fit.header):
            kind = row.cells[fit.types] if fit.types is not None and fit.types < len(row.cells) else ""
            if (other := other_kind(kind)) and not is_bare(row.fields.get("url", "")):
                problems.append(Problem(row.fields.get("name") or row.fields.get("url", ""), other, row.line))
                continue
            problems.extend(row.problems)
            if not row.problems:
                yield row.line, row.fields, row.fields["url"]

    try:
        found = _collected(Form.TABLE, lines(), defaults)
    except InvalidInputError as error:
        return Pasted(Form.TABLE, problems=error.problems)
    if not found.entries and not found.problems and not problems:
        problems.append(Problem("", "there is no row under the header yet", 1))
    return replace(found, problems=found.problems + problems, notes=found.notes + fit.notes + notes)


def _read_urls(text: str, defaults: Defaults) -> Pasted:
    lines = list(_lines_of_list(text) or _lines_of(text))
    found = _collected(Form.URLS, ((line, {"url": word}, word) for line, word in lines), defaults)
    if len(lines) == 1 and len(found.entries) == 1 and is_sitemap_url(found.entries[0].site.url):
        return replace(found, form=Form.SITEMAP_URL, sitemap=found.entries[0].site.url)
    return found


def _lines_of(text: str) -> Iterator[tuple[int, str]]:
    """(line, word), several of a line where each brings its scheme; without bullets, quotes and comments."""
    for number, line in enumerate(text.splitlines(), start=1):
        bare = _BULLET.sub("", line.strip()).strip(_WRAPPED)
        if not bare or bare.startswith("#"):
            continue
        pieces = [piece.strip(_WRAPPED) for piece in re.split(r"[\s,;|]+(?=\w+://)", bare)]
        if all("://" in piece for piece in pieces):
            yield from ((number, piece) for piece in pieces)
        else:
            yield number, bare


def _lines_of_list(text: str) -> list[tuple[int, str]]:
    """(line, word) of a list of texts as JSON and most languages write it; none where it is no such list."""
    if not text.lstrip().startswith("["):
        return []
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not all(isinstance(word, str) for word in words):
        return []
    found, place = [], 0
    for word in words:
        place = max(text.find(word, place), place)  # what is written with escapes is told with the line before it
        found.append((text.count("\n", 0, place) + 1, word.strip()))
    return found


def with_scheme(word: str) -> str:
    """`https://` before what brings no scheme; `http://` where it is this machine or a private network."""
    return word if "://" in word else f"{'http' if is_near(_host(word)) else 'https'}://{word}"


def _host(word: str) -> str:
    try:
        return urlsplit(f"//{word}").hostname or ""
    except ValueError:
        return ""


def is_sitemap_url(url: str) -> bool:
    """Whether an address reads like a sitemap's."""
    path = urlsplit(url).path.lower()
    return path.endswith((".xml", ".xml.gz")) or path.rpartition("/")[2].startswith("sitemap")


def _collected(form: Form, lines: Iterable[Line], defaults: Defaults) -> Pasted:
    """Judge each line's fields as a site."""
    found = Pasted(form)
    for number, fields, shown in lines:
        if len(found.entries) == MOST:
            found.problems.append(Problem("", TOO_MANY, number))
            break
        try:
            found.entries.append(_entry(number, fields, defaults))
        except InvalidInputError as error:
            found.problems.extend(Problem(shown, _said(problem), number) for problem in error.problems)
    return found


def _entry(line: int, fields: dict[str, Any], defaults: Defaults) -> Entry:
    if advice := _advice(fields["url"]):
        raise InvalidInputError([Problem("url", advice)])
    given = {**fields, "url": with_scheme(fields["url"])}
    tags = [*defaults.tags, *fields.get("tags", ())]
    site = parse(
        SiteIn,
        {"key": UNNAMED, "interval_s": defaults.interval_s, "regions": defaults.regions} | given | {"tags": tags},
    )
    if not fields.get("name"):
        site = site.model_copy(update={"name": name_of(site.url)})
    return Entry(line, site, has_key="key" in fields)


def _advice(word: str) -> str | None:
    """What is better said here than by the definition of a URL, which knows nothing of lines and lists."""
    if match := _ONE_SLASH.match(word):
        return f"two slashes are missing: write {match[1]}//{word[match.end() :][:80]}"
    if match := _NO_COLON.match(word):
        return f"a colon is missing: write {match[1]}://{word[match.end() :][:80]}"
    host = re.split(r"[/?#]", word.partition("://")[2] or word, maxsplit=1)[0]
    if re.search(r"\s", word):
        return f"to give more than a URL, {TABLE}" if re.search(r"://\S*[,;|\t]|[,;|\t]\s*\S*://", word) else None
    if odd := _STRANGE.search(host):
        table = ": one URL a line, or a table with a first line such as url,name" if odd[0] in ",;|" else ""
        return f"there is {odd[0]!r} in its host{table}"
    if "://" not in word and "." not in host and ":" not in host and not is_near(host):
        return f"this is one word: if a machine in your network is called so, write http://{host[:80]}"
    return None


def _said(problem: Problem) -> str:
    return problem.message if problem.field == "url" else f"{problem.field}: {problem.message}"


# --- sitemaps ---------------------------------------------------------------------------------------------------------


def _read_sitemap(text: str) -> Pasted:
    try:
        found = read_sitemap(text)
    except InvalidInputError as error:
        # Of a page that somebody pasted it would be wrong to say that it is a sitemap.
        form = Form.SITEMAP if re.search(r"<(\w+:)?(urlset|sitemapindex)\b", text) else Form.NOTHING
        return _refused(form, "this " + error.problems[0].message.removeprefix("it "))
    if found.parts:
        message = (
            f"this names {len(found.parts)} further sitemaps: paste the address of one, such as {found.parts[0][:80]}"
        )
        return _refused(Form.SITEMAP, message)
    return Pasted(Form.SITEMAP, pages=found.pages, notes=found.notes)


def _refused(form: Form, message: str) -> Pasted:
    return Pasted(form, problems=[Problem("", message)])
