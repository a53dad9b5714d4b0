"""Keeps a copy of the state of Almanac. It misses no change, repeats none, and resumes after a crash of either side.

Set up as README.md says, then:

    python examples/python/watch.py [--server HOST:PORT] [--state-file FILE] [--ranking ID] [--indicator ID]

The first run begins with the state. A later run with the same state file begins exactly after the last applied commit.
`--until head` or `--until REVISION` ends it there.

What a follower has to do, and where this program does it:

- apply a whole commit at its last page, never a part of it (`take_commit_page`), and the state when it is complete
  (`take_snapshot_end`);
- store the token together with the applied changes (`CopyFile`);
- tell a dead connection from a quiet one by its own clock (`SilenceClock`);
- reconnect with the token after a growing, random wait (`follow`), and drop the token only for reasons that are about the token
  (`START_OVER`);
- verify the chain of commits (`take_commit_page`), each change against the copy (`Copy.apply`), and the digest of the state.
"""

import argparse
import base64
import os
import random
import sys
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from almanac.v1 import feed_service_pb2 as feed
from almanac.v1 import feed_service_pb2_grpc as feed_grpc
from almanac.v1 import types_pb2 as types
from state import DIGEST_VERSION, BrokenPromise, Copy, UnknownKind, expect
from text import number_text

# With these reasons the token itself is refused: the client begins again with the state. TOKEN_AHEAD is not
# among them, because the server catches up.
START_OVER = {"TOKEN_MALFORMED", "TOKEN_OUTDATED", "TOKEN_OTHER_HISTORY", "BELOW_FLOOR"}
# With one of these statuses and a reason, the request can never work.
HOPELESS = {
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.DATA_LOSS,
}
MISSED_INTERVALS = 3
# The longest wait for the first message. Connecting takes time, and a server may wait 2 s for the revision of a token.
OPENING_SECONDS = 5
LONGEST_WAIT_SECONDS = 10


class StartOver(Exception):
    """The client must begin again with the state."""


def word(enum, number):
    """`CAUSE_FIRST_RELEASE` as `first release`; a number that this client does not know yet stays a number."""
    if number not in enum.values():
        return str(number)
    name = enum.Name(number)
    prefix = os.path.commonprefix(enum.keys())
    return name.removeprefix(prefix).lower().replace("_", " ")


def change_line(change):
    kind = change.WhichOneof("detail")
    detail = getattr(change, kind)
    if kind == "value":
        row = next(row for row in (detail.after, detail.before, detail.recorded_version) if row.indicator)
        before = number_text(detail.before.value) if detail.HasField("before") else "-"
        after = number_text(detail.after.value) if detail.HasField("after") else "-"
        return (f"{row.indicator} {row.entity} {row.period} ({row.source}): {before} -> {after}, "
                f"{word(types.ValueMove, detail.move)}")
    if kind == "entry":
        # A move is compared with another edition, or with the same edition before a correction.
        earlier = detail.before if detail.compared_with == detail.edition else detail.compared
        before = earlier.rank if earlier.HasField("rank") else "-"
        after = detail.after.rank if detail.after.HasField("rank") else "-"
        return (f"{detail.ranking} {detail.edition} {detail.entity}: {before} -> {after}, "
                f"{word(types.Movement, detail.movement)}")
    if kind == "edition":
        edition = detail.after if detail.HasField("after") else detail.before
        what = ("older version filled in" if detail.HasField("recorded_version")
                else word(types.EditionStatus, edition.status) if detail.HasField("after") else "taken back")
        return f"edition {edition.ranking} {edition.id}: {what}"
    definition = detail.after if detail.HasField("after") else detail.before
    item = definition.WhichOneof("item")
    what = "taken back" if not detail.HasField("after") else "changed" if detail.HasField("before") else "new"
    return f"{item} {getattr(definition, item).id}: {what}"


class CopyFile:
    """The messages that made a copy, one a line. A real client has a database, and changes rows and token in one
    transaction. Here one write appends a whole commit, and the next start cuts off what a crash left incomplete."""

    def __init__(self, path):
        self.path = path

    def load(self):
        """All messages up to the last one that carries a token."""
        messages = []
        whole = length = whole_length = 0
        if not os.path.exists(self.path):
            return messages
        with open(self.path, "rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                length += len(line)
                messages.append(feed.SubscribeResponse.FromString(base64.b64decode(line)))
                if self.token_of(messages[-1]):
                    whole, whole_length = len(messages), length
            file.truncate(whole_length)
        return messages[:whole]

    @staticmethod
    def token_of(message):
        body = message.WhichOneof("body")
        return body in ("snapshot_end", "commit_page", "progress") and getattr(message, body).resume_token

    @staticmethod
    def write(file, messages):
        file.write(b"".join(base64.b64encode(message.SerializeToString()) + b"\n" for message in messages))
        file.flush()
        os.fsync(file.fileno())

    def append(self, messages):
        with open(self.path, "ab") as file:
            self.write(file, messages)

    def replace(self, messages):
        """After a crash the file has the old messages or the new ones."""
        with open(self.path + ".new", "wb") as file:
            self.write(file, messages)
        os.replace(self.path + ".new", self.path)


class Watch:
    """Checks and applies streams, one after the other."""

    def __init__(self, path, after_commit):
        self.file = CopyFile(path)
        self.after_commit = after_commit
        self.start_over()
        self.loading = True
        for message in self.file.load():
            self.take(message)
        self.loading = False

    def start_over(self):
        self.copy = Copy()
        self.token = None
        self.revision = 0
        # The last applied commit that matched. The next commit must name it.
        self.last_commit = 0
        self.opened = None
        self.begin_stream()

    def begin_stream(self):
        """Drops what was incomplete when the last stream ended: the server sends it again from its beginning."""
        self.collected = []
        self.incoming = Copy()

    def take(self, message):
        kind = message.WhichOneof("body")
        if kind == "opened":
            self.take_opened(message)
        elif kind == "snapshot_page":
            self.incoming.add_page(message.snapshot_page)
            self.collected.append(message)
        elif kind == "snapshot_end":
            self.take_snapshot_end(message)
        elif kind == "commit_page":
            self.take_commit_page(message)
        elif kind == "progress":
            self.take_progress(message)
        # `lag` and `goodbye` do not change the copy. A message of a kind that this client does not know is ignored.

    def take_opened(self, message):
        if self.token is None:
            self.opened = message.opened
            self.collected.append(message)
            return
        opened = message.opened
        # The server refuses a token of another history. The client checks it all the same.
        expect(opened.history_id == self.opened.history_id, "Resumable", "the server's history is another one")
        expect(opened.start_revision == self.revision, "Resumable",
               f"had everything to {self.revision}, resumed at {opened.start_revision}")
        if opened.left_out_sources != self.opened.left_out_sources:
            raise StartOver("licences of sources changed")

    def take_snapshot_end(self, message):
        end = message.snapshot_end
        copy = self.incoming
        # This proves that no row is missing and none came twice.
        expect((end.row_count, end.digest) == (len(copy.rows), copy.digest), "Reliable",
               f"{end.row_count} rows with digest {end.digest:016x} sent, "
               f"{len(copy.rows)} with {copy.digest:016x} arrived")
        if not self.loading:
            self.file.replace(self.collected + [message])
            print(f"state at revision {end.revision}: {end.row_count} rows, digest {end.digest:016x}", flush=True)
        self.copy = copy
        self.revision, self.last_commit, self.token = end.revision, 0, end.resume_token
        self.begin_stream()

    def take_commit_page(self, message):
        page = message.commit_page
        expect(page.page == len(self.collected), "Reliable", f"page {page.page} of revision {page.revision}")
        if page.page == 0:
            expect(page.revision > self.revision, "Ordered", f"revision {page.revision} after {self.revision}")
            expect(page.prev_matching_revision == self.last_commit, "Chained",
                   f"revision {page.revision} follows {page.prev_matching_revision}, we have {self.last_commit}")
        else:
            first = self.collected[0].commit_page.revision
            expect(page.revision == first, "Atomic", f"revision {page.revision} within {first}")
        self.collected.append(message)
        if not page.last_page:
            return
        # Only now is the commit complete. (Write millions of changes to a database as they arrive, in one open transaction.)
        pages = self.collected
        changes = [change for one in pages for change in one.commit_page.changes]
        for change in changes:
            self.copy.apply(change)
        if not self.loading:
            self.file.append(pages)
            cause = word(types.Cause, pages[0].commit_page.commit.cause)
            print(f"revision {page.revision} ({cause}), digest {self.copy.digest:016x}: {len(changes)} changes")
            for change in changes:
                print(f"  {change_line(change)}")
            sys.stdout.flush()
            self.after_commit(page.revision, self.copy)
        self.revision, self.last_commit, self.token = page.revision, page.revision, page.resume_token
        self.begin_stream()

    def take_progress(self, message):
        progress = message.progress
        expect(not self.collected, "Atomic", f"progress {progress.revision} within a commit")
        if progress.revision > self.revision:
            if not self.loading:
                self.file.append([message])
            self.revision, self.token = progress.revision, progress.resume_token

    def reached(self, until):
        return until is not None and self.token is not None and self.revision >= until


class SilenceClock:
    """Cancels a call when no message comes for too long. The clock runs only while the client waits for a message, not while
    it applies one. Settings of the library are no substitute: grpcio notices some dead connections only after minutes."""

    def __init__(self, call):
        self.call = call
        self.deadline = None
        self.ran_out = False
        self.ended = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while not self.ended.wait(0.1):
            deadline = self.deadline
            if deadline is not None and time.monotonic() > deadline:
                self.ran_out = True
                self.call.cancel()
                return

    def messages(self, silence):
        """The messages of the call. `silence` is the longest wait for one, in seconds."""
        stream = iter(self.call)
        allowed = max(silence, OPENING_SECONDS)
        try:
            while True:
                self.deadline = time.monotonic() + allowed
                message = next(stream, None)
                self.deadline = None
                if message is None:
                    return
                allowed = silence
                yield message
        finally:
            self.ended.set()


def details_of(error):
    """The reason of an error and the seconds to wait. Only an error of Almanac has a reason, not one of a proxy or the library."""
    reason = wait = None
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None
    for detail in status.details if status else []:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == "almanac":
            reason = info.reason
        elif detail.Unpack(retry):
            wait = retry.retry_delay.ToMilliseconds() / 1000
    return reason, wait if reason else None


def open_channel(server):
    return grpc.insecure_channel(server, options=[
        # Otherwise two channels to one address share a connection, even a dead one.
        ("grpc.use_local_subchannel_pool", 1),
        # The library should notice a dead connection too; the last option decides how soon.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
        # The channel has a back-off of its own. Keep it short: `follow` waits.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
    ])


def follow(server, watch, filters, interval, until):
    failures = 0
    while not watch.reached(until):
        request = feed.SubscribeRequest(filters=filters, digest_version=DIGEST_VERSION)
        request.progress_interval.FromMilliseconds(round(interval * 1000))
        if watch.token:
            request.resume_token = watch.token
        else:
            request.state.SetInParent()
        watch.begin_stream()
        wait = None
        why = "the stream ended"
        # Each stream gets a new connection, because the old one may be dead and not know it.
        with open_channel(server) as channel:
            stream = feed_grpc.FeedServiceStub(channel).Subscribe(request)
            clock = SilenceClock(stream)
            try:
                for message in clock.messages(MISSED_INTERVALS * interval):
                    failures = 0
                    watch.take(message)
                    if watch.reached(until):
                        return
                    if message.HasField("goodbye"):
                        # The server ends the stream and says when to reconnect. The client needs no other token than its own.
                        wait = message.goodbye.reconnect_after.ToMilliseconds() / 1000
                        why = word(feed.GoodbyeReason, message.goodbye.reason)
            except StartOver as reason:
                why, wait = str(reason), 0
                watch.start_over()
            except grpc.RpcError as error:
                reason, server_wait = details_of(error)
                if clock.ran_out:
                    why = "the server is silent"
                elif reason in START_OVER:
                    why = f"{reason}: {error.details()}; what changed until the next state is not told"
                    watch.start_over()
                elif reason and error.code() in HOPELESS:
                    sys.exit(f"watch: {error.code().name} ({reason}): {error.details()}")
                elif wait is None:
                    why, wait = error.details(), server_wait
            finally:
                stream.cancel()
        if wait is None:
            # The bound of the wait doubles, and the wait is random below it: so clients do not all reconnect at once.
            wait = random.uniform(0, min(LONGEST_WAIT_SECONDS, 0.1 * 2**failures))
            failures = min(failures + 1, 10)
        print(f"{why}; coming back in {wait:.1f} s", file=sys.stderr, flush=True)
        time.sleep(wait)


def state_end(server, filters, revision):
    """The SnapshotEnd of the server's state at a revision; None if the stream ended before it."""
    request = feed.SubscribeRequest(as_known_at=types.AsOf(revision=revision), filters=filters, digest_version=DIGEST_VERSION)
    with open_channel(server) as channel:
        stream = feed_grpc.FeedServiceStub(channel).Subscribe(request, wait_for_ready=True)
        try:
            for message in stream:
                if message.HasField("snapshot_end"):
                    return message.snapshot_end
        except grpc.RpcError as error:
            print(f"{error.details()}; asking again for the state", file=sys.stderr, flush=True)
        finally:
            stream.cancel()
    return None


def check_digest(server, filters, revision, copy):
    """Compares the digest of the copy with that of the server's state at a revision."""
    while (end := state_end(server, filters, revision)) is None:
        # The server is stopping, or has just started.
        time.sleep(1)
    expect((end.row_count, end.digest) == (len(copy.rows), copy.digest), "Reliable",
           f"the state at revision {revision} has {end.row_count} rows with digest {end.digest:016x}, "
           f"the copy {len(copy.rows)} with {copy.digest:016x}")


def main():
    arguments = argparse.ArgumentParser(description="Keeps a copy of the state of Almanac.")
    arguments.add_argument("--server", default="127.0.0.1:50051")
    arguments.add_argument("--state-file", default="almanac-watch.state")
    arguments.add_argument("--ranking", action="append", default=[])
    arguments.add_argument("--indicator", action="append", default=[])
    arguments.add_argument("--until", metavar="REVISION|head")
    arguments.add_argument("--interval", metavar="SECONDS", type=float, default=1,
                           help="progress interval; after three without a message the connection counts as dead")
    arguments.add_argument("--check-digest", action="store_true",
                           help="after each commit, fetch the digest of the state and compare that of the copy with it")
    arguments = arguments.parse_args()
    filters = []
    # A token belongs to its filters: with other filters the server refuses it. A change matches a filter if all its fields accept
    # it, so rankings and indicators are two filters.
    if arguments.ranking:
        filters.append(feed.Filter(name="rankings", rankings=arguments.ranking))
    if arguments.indicator:
        filters.append(feed.Filter(name="indicators", indicators=arguments.indicator))

    def after_commit(revision, copy):
        if arguments.check_digest:
            check_digest(arguments.server, filters, revision, copy)

    until = arguments.until
    if until == "head":
        with open_channel(arguments.server) as channel:
            stub = feed_grpc.FeedServiceStub(channel)
            until = stub.GetHead(feed.GetHeadRequest(), timeout=30, wait_for_ready=True).head
    watch = Watch(arguments.state_file, after_commit)
    follow(arguments.server, watch, filters, arguments.interval, None if until is None else int(until))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except BrokenPromise as broken:
        sys.exit(f"watch: the server broke the promise {broken}")
    except UnknownKind as unknown:
        sys.exit(f"watch: the server sent {unknown}: this client is too old to keep a copy")
