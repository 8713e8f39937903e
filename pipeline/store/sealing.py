"""Secrets at rest, all of them at once: sealing what an older release left plain, and sealing anew after a rotation.

In batches, each a transaction with the edit lock, by id: whoever is interrupted goes on when it is called again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Table, bindparam, select, text, update

from pipeline import secrets
from pipeline.ring import STORED, Ring, is_shown, key_id, shown
from pipeline.store import tables as t
from pipeline.store.edits import lock_edits
from pipeline.vocabulary import Auth, Network, Spec

BATCH = 500  # rows; edits wait for one, some 50 ms
PLAIN = f"^{STORED.pattern}$"  # what matches it is not plain

Begin = Callable[[], AbstractContextManager[Connection]]

_PLACE = {name: place for place, name in enumerate(Spec.__struct_fields__)}
_PROXY = Network.__struct_fields__.index("proxy")

# A secret that does not match :pattern. Nothing is not a secret.
_SITES = """
    body <> '' and body !~ :pattern
    or client_certificate <> '' and client_certificate !~ :pattern
    or coalesce(nullif(auth->>'password', ''), auth->>'token') !~ :pattern
    or exists (select 1 from jsonb_each_text(headers) h
               where h.value <> '' and h.value !~ :pattern and lower(h.key) <> all(:public))
"""
_REGIONS = "substring(proxy from '://([^/?#]+)@') !~ :pattern"
_REVISIONS = f"""
    spec->>{_PLACE["body"]} <> '' and spec->>{_PLACE["body"]} !~ :pattern
    or spec->>{_PLACE["client_certificate"]} <> '' and spec->>{_PLACE["client_certificate"]} !~ :pattern
    or nullif(spec->{_PLACE["auth"]}->>0, '') !~ :pattern
    or substring(network->>{_PROXY} from '://([^/?#]+)@') !~ :pattern
    or exists (select 1 from jsonb_each_text(spec->{_PLACE["headers"]}) h
               where h.value <> '' and h.value !~ :pattern and lower(h.key) <> all(:public))
"""  # noqa: S608 - places of ours
_AUDIT = "jsonb_typeof(detail->'changes') = 'object' and detail->'changes' ?| :fields"


def seal_plain(begin: Begin, ring: Ring) -> int:
    """Seal every secret that is kept plain, and mask it in the audit log. Returns how many rows were.

    Without a key nothing is done: `plain_sites` tells how many there are.
    """
    if not ring:
        return 0
    return _everywhere(begin, ring, PLAIN) + _mask_audit(begin, ring)


def reseal(begin: Begin, ring: Ring) -> int:
    """Every secret under the ring's first key. Returns how many rows were changed; what no key opens is left."""
    return _everywhere(begin, ring, f"^sealed:{ring.ids[0]}:")


def keys_in_use(connection: Connection) -> Counter[str]:
    """How many sites, regions and revisions have a secret under each key, by the key's id; "" is for plain ones."""
    found: Counter[str] = Counter()
    for table, fields in ((t.sites, _site_secrets), (t.regions, _region_secrets), (t.revisions, _revision_secrets)):
        rows = connection.execute(_with_secrets(table), execution_options={"yield_per": 1_000}).mappings()
        for row in rows:
            found.update({key_id(stored) or "" for stored in fields(row).values()})
    return found


def locked(connection: Connection, held: Collection[str]) -> list[str]:
    """Keys of the living sites and regions with a secret that no held key opens, or that is kept plain."""
    found: list[str] = []
    for table, fields in ((t.sites, _site_secrets), (t.regions, _region_secrets)):
        query = _with_secrets(table).where(table.c.deleted_at.is_(None)).order_by(table.c.key)
        rows = connection.execute(query).mappings()
        found += [row["key"] for row in rows if any(key_id(each) not in held for each in fields(row).values())]
    return found


def _with_secrets(table: Table) -> Any:
    """Rows that have any secret, whatever it is sealed with."""
    condition = {"sites": _SITES, "regions": _REGIONS, "revisions": _REVISIONS}[table.name]
    return select(table).where(_condition(condition, "^$"))


def _condition(sql: str, pattern: str) -> Any:
    binds: list[Any] = [bindparam("pattern", pattern)]
    if ":public" in sql:
        binds.append(bindparam("public", sorted(secrets.PUBLIC_HEADERS)))
    return text(f"({sql})").bindparams(*binds)


def _everywhere(begin: Begin, ring: Ring, pattern: str) -> int:
    # Sites before their revisions: what an edit publishes meanwhile then compares with what it finds.
    return (
        _table(begin, t.sites, _condition(_SITES, pattern), lambda row: _site(row, ring))
        + _table(begin, t.regions, _condition(_REGIONS, pattern), lambda row: _region(row, ring))
        + _table(begin, t.revisions, _condition(_REVISIONS, pattern), lambda row: _revision(row, ring))
    )


def _mask_audit(begin: Begin, ring: Ring) -> int:
    condition = text(_AUDIT).bindparams(bindparam("fields", list(secrets.SECRET_FIELDS)))
    return _table(begin, t.audit, condition, lambda row: _masked(row, ring))


def _table(begin: Begin, table: Table, condition: Any, changed: Callable[[RowMapping], dict[str, Any]]) -> int:
    """Change a table's rows in batches; `changed` gives a row's new columns."""
    last, done = 0, 0
    query = select(table).where(condition).order_by(table.c.id).limit(BATCH).with_for_update()
    while True:
        with begin() as connection:
            lock_edits(connection)
            rows = connection.execute(query.where(table.c.id > last)).mappings().all()
            for row in rows:
                last = row["id"]
                columns = changed(row)
                if any(row[name] != value for name, value in columns.items()):
                    connection.execute(update(table).where(table.c.id == last).values(**columns))
                    done += 1
        if len(rows) < BATCH:
            return done


def _site_secrets(row: RowMapping) -> dict[str, str]:
    return secrets.declared({name: row[name] for name in ("headers", "body", "auth", "client_certificate")})


def _region_secrets(row: RowMapping) -> dict[str, str]:
    return secrets.declared({"proxy": row["proxy"]})


def _revision_secrets(row: RowMapping) -> dict[str, str]:
    return secrets.secrets_of(*_carried(row))


def _site(row: RowMapping, ring: Ring) -> dict[str, Any]:
    fields = {name: row[name] for name in ("headers", "body", "auth", "client_certificate")}
    return secrets.with_declared(fields, secrets.renewed(secrets.declared(fields), ring))


def _region(row: RowMapping, ring: Ring) -> dict[str, Any]:
    fields = {"proxy": row["proxy"]}
    return secrets.with_declared(fields, secrets.renewed(secrets.declared(fields), ring))


def _revision(row: RowMapping, ring: Ring) -> dict[str, Any]:
    """Only what is secret: the rest of a spec stays as the release that made it wrote it."""
    spec, network = _carried(row)
    values = secrets.renewed(secrets.secrets_of(spec, network), ring)
    after, through = secrets.with_secrets(spec, values), secrets.with_proxy_secret(network, values)
    parts = {"headers": after.headers, "body": after.body, "client_certificate": after.client_certificate}
    parts["auth"] = msgspec.to_builtins(after.auth)
    written, sent = list(row["spec"]), list(row["network"])
    for name, value in parts.items():
        if _PLACE[name] < len(written):
            written[_PLACE[name]] = value
    if len(sent) > _PROXY:
        sent[_PROXY] = through.proxy
    return {"spec": written, "network": sent}


def _carried(row: RowMapping) -> tuple[Spec, Network]:
    """What may be secret of a revision, in our words; older releases wrote fewer fields."""
    written = dict(zip(Spec.__struct_fields__, row["spec"], strict=False))
    spec = Spec(
        "",
        headers=written.get("headers") or {},
        body=written.get("body") or "",
        auth=msgspec.convert(written["auth"], Auth) if written.get("auth") else None,
        client_certificate=written.get("client_certificate"),
    )
    proxy = dict(zip(Network.__struct_fields__, row["network"], strict=False)).get("proxy")
    return spec, Network(proxy=proxy)


def _masked(row: RowMapping, ring: Ring) -> dict[str, Any]:
    """A line of the audit log as it would be written today. What was sent may have been of any shape."""
    sent = row["detail"]["changes"]
    fields = {name: sent[name] for name in secrets.SECRET_FIELDS if _is_shaped(name, sent.get(name))}
    values = {
        name: value if is_shown(value) else shown(ring.seal(name, value))
        for name, value in secrets.declared(fields).items()
    }
    return {"detail": row["detail"] | {"changes": sent | secrets.with_declared(fields, values)}}


def _is_shaped(name: str, value: object) -> bool:
    if name in ("headers", "auth"):
        return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    return isinstance(value, str)
