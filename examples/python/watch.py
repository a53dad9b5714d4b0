"""Follows every change of Almanac, misses none, repeats none, and goes on after a crash of either side.

Set up as query.py says, then:

    python examples/python/watch.py [--server HOST:PORT] [--state-file FILE] [--ranking ID] [--indicator ID]

The first run begins with the state; a later run with the same state file begins exactly behind what the last one applied.
`--until head` or `--until REVISION` ends it there.

What a subscriber has to do, and where it is done here:

- apply a commit whole, at its last page, never part of it (`take_page`), and the state when it is complete (`take`);
- store the token together with what was applied (`keep`);
- come back after a broken stream with a growing, random wait (`follow`);
- verify the chain of commits (`take_page`), and by count and digest the state (`take`).
"""

import argparse
import hashlib
import json
import os
import random
import sys
import time

import grpc

from almanac.v1 import feed_service_pb2 as feed
from almanac.v1 import feed_service_pb2_grpc as feed_grpc
from almanac.v1 import types_pb2 as types

# Asking again cannot help with these: the request, the token or the permission is wrong.
HOPELESS = {
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.DATA_LOSS,
}


class BrokenPromise(Exception):
    """The server did something the contract excludes. What was applied until then holds; start afresh from the state."""


def expect(holds, promise, seen):
    if not holds:
        raise BrokenPromise(f"{promise}: {seen}")


def number_text(value):
    """The published text, digit by digit."""
    if value.exact:
        return value.exact
    return f"{value.number:.{value.decimals}f}" if value.HasField("number") else "missing"


def row_digest(row):
    """What a row of the state adds to the digest (the README defines it). Definitions and editions add nothing."""
    kind = row.WhichOneof("row")
    if kind == "figure":
        figure = row.figure
        dimensions = ";".join(f"{pair.id}={pair.value}" for pair in figure.dimensions)
        line = ["V", figure.indicator, figure.entity, figure.source, dimensions, figure.period,
                number_text(figure.value), str(figure.value.multiplier_pow10)]
    elif kind == "entry":
        entry = row.entry.entry
        rank = str(entry.rank) if entry.HasField("rank") else ""
        line = ["E", row.entry.ranking, row.entry.edition, entry.entity, rank]
    else:
        return 0
    return int.from_bytes(hashlib.sha256("\t".join(line).encode()).digest()[:8], "little")


def word(enum, number):
    """`CAUSE_FIRST_RELEASE` as `first release`; a number that this client does not know yet stays a number."""
    if number not in enum.values():
        return str(number)
    name = enum.Name(number)
    prefix = os.path.commonprefix(enum.keys())
    return name.removeprefix(prefix).lower().replace("_", " ")


def change_line(change):
    kind = change.WhichOneof("what")
    if kind == "value":
        value = change.value
        before = number_text(value.before) if value.HasField("before") else "-"
        after = number_text(value.after) if value.HasField("after") else "-"
        return (f"{value.indicator} {value.entity} {value.period} ({value.source}): {before} -> {after}, "
                f"{word(types.ValueMove, value.move)}")
    if kind == "entry":
        entry, move = change.entry, change.entry.move
        before = move.before.rank if move.before.HasField("rank") else "-"
        after = move.after.rank if move.after.HasField("rank") else "-"
        return (f"{entry.ranking} {entry.edition} {move.entity}: {before} -> {after}, "
                f"{word(types.Movement, move.movement)}")
    if kind == "edition":
        after = change.edition.after
        return f"edition {after.ranking} {after.edition}: {word(types.EditionStatus, after.status)}"
    if kind == "definition":
        after = change.definition.after
        what = after.WhichOneof("object")
        return f"{what} {getattr(after, what).id}: {'changed' if change.definition.HasField('before') else 'new'}"
    return "a kind of change that this client does not know"


class Watch:
    """Applies a stream. To apply means to print here; a real client writes to its database instead."""

    def __init__(self, state_file):
        self.state_file = state_file
        # What survives a crash: history, the revision applied, the last commit that matched, and the token behind it.
        self.kept = None
        if os.path.exists(state_file):
            with open(state_file, encoding="utf-8") as file:
                self.kept = json.load(file)
        self.history_id = None
        self.forget()

    def forget(self):
        """A stream broke: what was not complete comes again from its beginning."""
        self.rows = self.digest = 0
        self.commit, self.changes, self.next_page = None, [], 0

    def keep(self, revision, last_commit, token):
        """Old or new, never half. A real client stores this in the same transaction as the data it applied: then a crash
        between the two cannot lose or repeat a commit."""
        self.kept = {"history_id": self.history_id, "revision": revision, "last_commit": last_commit, "token": token}
        with open(self.state_file + ".new", "w", encoding="utf-8") as file:
            json.dump(self.kept, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.state_file + ".new", self.state_file)

    def take(self, message):
        """Checks and applies one message."""
        kind = message.WhichOneof("message")
        if kind == "opened":
            opened = message.opened
            self.history_id = opened.history_id
            if self.kept:
                # The server refuses a token of another history itself; this is the client's own proof.
                expect(opened.history_id == self.kept["history_id"], "Resumable", "the server's history is another one")
                expect(opened.start_revision == self.kept["revision"], "Resumable",
                       f"had everything to {self.kept['revision']}, resumed at {opened.start_revision}")
        elif kind == "snapshot_page":
            self.rows += len(message.snapshot_page.rows)
            self.digest = (self.digest + sum(map(row_digest, message.snapshot_page.rows))) % 2**64
        elif kind == "snapshot_end":
            end = message.snapshot_end
            # Proof that nothing is missing and nothing came twice; a copy kept up to date can be checked so at any time.
            expect((end.row_count, end.digest) == (self.rows, self.digest), "Reliable",
                   f"{end.row_count} rows with digest {end.digest:016x} sent, {self.rows} with {self.digest:016x} arrived")
            print(f"state at revision {end.revision}: {end.row_count} rows, digest {end.digest:016x}", flush=True)
            self.keep(end.revision, 0, end.resume_token)
        elif kind == "commit_page":
            self.take_page(message.commit_page)
        elif kind == "progress":
            progress = message.progress
            expect(self.commit is None, "Atomic", f"progress {progress.revision} within a commit")
            if self.kept and progress.revision > self.kept["revision"]:
                self.keep(progress.revision, self.kept["last_commit"], progress.resume_token)

    def take_page(self, page):
        expect(page.page == self.next_page, "Reliable", f"page {page.page} of revision {page.revision}")
        if page.page == 0:
            self.commit = page.commit
            expect(page.revision > self.kept["revision"], "Ordered",
                   f"revision {page.revision} after {self.kept['revision']}")
            # The chain: the commit before this one that matched must be the last one we applied.
            expect(page.prev_matching_revision == self.kept["last_commit"], "Chained",
                   f"revision {page.revision} follows {page.prev_matching_revision}, we have {self.kept['last_commit']}")
        expect(page.revision == self.commit.revision, "Atomic",
               f"revision {page.revision} within {self.commit.revision}")
        self.next_page += 1
        self.changes.extend(page.changes)
        if page.last_page:
            # Only now is the commit whole. (Millions of changes go to a database as they come, in one open transaction.)
            print(f"revision {page.revision} ({word(types.Cause, self.commit.cause)}): {len(self.changes)} changes")
            for change in self.changes:
                print(f"  {change_line(change)}")
            sys.stdout.flush()
            self.commit, self.changes, self.next_page = None, [], 0
            self.keep(page.revision, page.revision, page.resume_token)

    def reached(self, until):
        return until is not None and self.kept is not None and self.kept["revision"] >= until


def follow(stub, watch, filters, until):
    failures = 0
    while True:
        request = feed.SubscribeRequest(filters=filters)
        request.progress_interval.seconds = 1
        if watch.kept:
            request.resume_token = watch.kept["token"]
        else:
            request.state.SetInParent()
        watch.forget()
        wait = None
        stream = stub.Subscribe(request)
        try:
            for message in stream:
                failures = 0
                watch.take(message)
                if watch.reached(until):
                    stream.cancel()
                    return
                if message.HasField("goodbye"):
                    # The server ends the stream and says when to come back. What we kept is as good as its token.
                    wait = message.goodbye.reconnect_after.ToMilliseconds() / 1000
                    why = word(feed.GoodbyeReason, message.goodbye.reason)
            if wait is None:
                why = "the stream ended"
        except grpc.RpcError as error:
            if error.code() in HOPELESS:
                sys.exit(f"watch: {error.code().name}: {error.details()}")
            if wait is None:
                why = error.details()
        if wait is None:
            # Doubling waits, each drawn evenly from zero to its bound: clients of a server that went away come back
            # spread out.
            wait = random.uniform(0, min(10, 0.1 * 2**failures))
            failures = min(failures + 1, 10)
        print(f"{why}; coming back in {wait:.1f} s", file=sys.stderr, flush=True)
        time.sleep(wait)


def main():
    arguments = argparse.ArgumentParser(description="Follows every change of Almanac.")
    arguments.add_argument("--server", default="127.0.0.1:50051")
    arguments.add_argument("--state-file", default="almanac-watch.json")
    arguments.add_argument("--ranking", action="append", default=[])
    arguments.add_argument("--indicator", action="append", default=[])
    arguments.add_argument("--until", metavar="REVISION|head")
    arguments = arguments.parse_args()
    filters = []
    if arguments.ranking or arguments.indicator:
        # A token belongs to its filters: with others, the server refuses it.
        filters = [feed.Filter(rankings=arguments.ranking, indicators=arguments.indicator)]
    options = [
        # A silent connection may be a dead one: ask, instead of waiting for ever.
        ("grpc.keepalive_time_ms", 30_000),
        # The channel has a back-off of its own; ours decides.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
    ]
    with grpc.insecure_channel(arguments.server, options=options) as channel:
        stub = feed_grpc.FeedServiceStub(channel)
        until = arguments.until
        if until == "head":
            until = stub.GetHead(feed.GetHeadRequest(), timeout=30, wait_for_ready=True).head
        follow(stub, Watch(arguments.state_file), filters, None if until is None else int(until))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except BrokenPromise as broken:
        sys.exit(f"watch: the server broke the promise {broken}")
