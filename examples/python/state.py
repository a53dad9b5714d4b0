"""A copy of the state of Almanac that the changes of the feed keep up to date, and its digest (version 2).

It follows the rules of `docs/feed.md`.
"""

import hashlib
import struct
from collections.abc import MutableSequence

from almanac.v1 import feed_service_pb2 as feed
from almanac.v1 import types_pb2 as types

# The fields of digest version 2, by message, in the order of the digest. A field that the contract adds later is not part of it.
DIGEST_FIELDS = {
    "Observation": "indicator entity source dimensions period value released recorded revision cause",
    "Dimension": "id value",
    "Value": "number decimals exact multiplier_pow10 qualifier upper status missing comment",
    "Timestamp": "seconds nanos",
    "Edition": "ranking id title status basis about coverage methodology released source note entry_count revision recorded "
               "compared_with",
    "Coverage": "kind listed universe complete_to",
    "StateEntry": "ranking edition entry",
    "Entry": "entity published_name economies rank tied score components previous disputed note",
    "EntryComponent": "id raw score rank data_year",
    "RankClaim": "rank edition claimed_by",
    "Definition": "indicator entity source ranking methodology",
    "Indicator": "id name unit direction default_decimals definition frequency licence timing",
    "Entity": "id kind name codes names relations",
    "EntityCode": "scheme value",
    "EntityName": "text language valid_from valid_to",
    "EntityRelation": "kind entity valid_from valid_to",
    "Source": "id producer title published url licence redistribution precedence",
    "Ranking": "id name subject source description",
    "Methodology": "id description components aggregation",
    "MethodologyComponent": "id name weight direction parent aggregation",
}
DIGEST_LETTERS = {"Observation": b"F", "Edition": b"R", "StateEntry": b"E", "Definition": b"D"}
DIGEST_VERSION = 2


class BrokenPromise(Exception):
    """The server broke a promise of the contract."""


class UnknownKind(Exception):
    """The server sent something that this client is too old to know, so the copy could become wrong."""


def expect(holds, promise, seen):
    if not holds:
        raise BrokenPromise(f"{promise}: {seen}")


def with_length(data):
    return b"%d:%s" % (len(data), data)


def item_bytes(value):
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool):
        return b"1" if value else b"0"
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        return struct.pack(">d", value).hex().encode()
    return message_bytes(value)


def field_bytes(message, field):
    value = getattr(message, field.name)
    if isinstance(value, MutableSequence):
        return b"".join(with_length(item_bytes(item)) for item in value)
    there = message.HasField(field.name) if field.has_presence else value
    return item_bytes(value) if there else b""


def message_bytes(message):
    fields = message.DESCRIPTOR.fields_by_name
    names = DIGEST_FIELDS[message.DESCRIPTOR.name].split()
    return b"".join(with_length(field_bytes(message, fields[name])) for name in names)


def row_digest(row):
    """What a row adds to the digest of the state: an `Observation`, `Edition`, `StateEntry` or `Definition`."""
    text = DIGEST_LETTERS[row.DESCRIPTOR.name] + message_bytes(row)
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


def key_of(row):
    """The key of a row."""
    kind = row.DESCRIPTOR.name
    if kind == "Observation":
        dimensions = tuple((dimension.id, dimension.value) for dimension in row.dimensions)
        return kind, row.indicator, row.entity, row.source, dimensions, row.period
    if kind == "Edition":
        return kind, row.ranking, row.id
    if kind == "StateEntry":
        return kind, row.ranking, row.edition, row.entry.entity
    item = row.WhichOneof("item")
    if item is None:
        raise UnknownKind("a definition of an unknown kind")
    return kind, item, getattr(row, item).id


def sides(change):
    """The key of a change, and its row before and after the change; None if there is none."""
    kind = change.WhichOneof("detail")
    if kind is None:
        raise UnknownKind("a change of an unknown kind")
    detail = getattr(change, kind)
    before = detail.before if detail.HasField("before") else None
    after = detail.after if detail.HasField("after") else None
    if kind == "entry":
        # A row of the state names the edition of its entry.
        key = "StateEntry", detail.ranking, detail.edition, detail.entity
        before = before and feed.StateEntry(ranking=detail.ranking, edition=detail.edition, entry=before)
        after = after and feed.StateEntry(ranking=detail.ranking, edition=detail.edition, entry=after)
        return key, before, after
    # A figure that was backfilled behind "no figure" has neither side.
    return key_of(after or before or detail.recorded_version), before, after


class Copy:
    """The rows of the state by their keys, and the digest of all rows."""

    def __init__(self):
        self.rows = {}
        self.digest = 0

    def put(self, key, row):
        self.remove(key)
        self.rows[key] = row
        self.digest = (self.digest + row_digest(row)) % 2**64

    def remove(self, key):
        row = self.rows.pop(key, None)
        if row is not None:
            self.digest = (self.digest - row_digest(row)) % 2**64

    def add_page(self, page):
        for row in page.rows:
            item = row.WhichOneof("item")
            if item is None:
                raise UnknownKind("a row of an unknown kind")
            message = getattr(row, item)
            key = key_of(message)
            expect(key not in self.rows, "Unique", f"{key} twice in the state")
            self.put(key, message)

    def apply(self, change):
        """Applies a change as its scope demands. First it checks that the copy has the row that the change has as before."""
        key, before, after = sides(change)
        held = self.rows.get(key)
        scope = change.scope
        if scope == types.CHANGE_SCOPE_ENTERED:
            expect(held is None and after is not None, "Filtered", f"{key} entered, and is here already or not sent")
            self.put(key, after)
        elif scope == types.CHANGE_SCOPE_CHANGED:
            expect(held is not None and after is not None, "Filtered", f"{key} changed, and is not here or not sent")
            expect(held == before, "Before-true", f"{key} was {before}, we have {held}")
            self.put(key, after)
        elif scope == types.CHANGE_SCOPE_LEFT:
            expect(held is not None, "Filtered", f"{key} left, and is not here")
            expect(held == before, "Before-true", f"{key} was {before}, we have {held}")
            self.remove(key)
        elif scope == types.CHANGE_SCOPE_OUTSIDE:
            expect(held is None, "Filtered", f"{key} is outside, and is here")
        else:
            raise UnknownKind(f"a change of scope {scope}")
