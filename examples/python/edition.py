"""Fetches a whole edition in four ways: as pages of entries, as pages of commits, as a stream of commits, as a stream of the state.

Set up as README.md says, then:

    python examples/python/edition.py --ranking ID --edition ID [--compare-with ID] [--server HOST:PORT]

It changes no limit of the library: however long an edition is, a client accepts every message by default.
"""

import argparse
import hashlib

import grpc

from almanac.v1 import feed_service_pb2 as feed
from almanac.v1 import feed_service_pb2_grpc as feed_grpc
from almanac.v1 import ranking_service_pb2 as ranking
from almanac.v1 import ranking_service_pb2_grpc as ranking_grpc
from almanac.v1 import types_pb2 as types


def entry_digest(ranking_id, edition, entity, rank):
    """What an entry adds to the digest of the state, in version 1. It is quick, and enough to see that no entry is missing."""
    line = "\t".join(["E", ranking_id, edition, entity, "" if rank is None else str(rank)])
    return int.from_bytes(hashlib.sha256(line.encode()).digest()[:8], "little")


def rank_of(message):
    return message.rank if message.HasField("rank") else None


class Way:
    """The entries and messages that arrived in one way."""

    def __init__(self, ranking_id, edition):
        self.ranking, self.edition = ranking_id, edition
        self.entries = self.digest = self.messages = self.bytes = self.longest = 0

    def took(self, message):
        length = message.ByteSize()
        self.messages, self.bytes, self.longest = self.messages + 1, self.bytes + length, max(self.longest, length)

    def entry(self, entity, rank):
        self.entries += 1
        self.digest = (self.digest + entry_digest(self.ranking, self.edition, entity, rank)) % 2**64

    def changes(self, changes):
        for change in changes:
            # An entity that left has a change too, without an entry after.
            if change.entry.edition == self.edition and change.entry.HasField("after"):
                self.entry(change.entry.entity, rank_of(change.entry.after))

    def print(self, name):
        print(f"{name}: {self.entries} entries, digest {self.digest:016x}, {self.sizes()}", flush=True)

    def sizes(self):
        return f"{self.messages} messages, {self.bytes} bytes, longest {self.longest}"


def pages(method, way, request):
    """All pages of a list. The next request is the same with the token of the last page, until a page has no token."""
    while True:
        page = method(request, timeout=60)
        way.took(page)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def listed_entries(stub, way):
    """Returns the revision of the commit that published the edition."""
    revision = 0
    request = ranking.ListEntriesRequest(ranking=way.ranking, edition=way.edition, page_size=1000)
    for page in pages(stub.ListEntries, way, request):
        revision = page.edition.revision
        for entry in page.entries:
            way.entry(entry.entity, rank_of(entry))
    return revision


def listed_commit(stub, way, filters, revision):
    for page in pages(stub.ListCommits, way, feed.ListCommitsRequest(after_revision=revision - 1, filters=filters)):
        for part in page.commits:
            if part.revision != revision:
                return
            way.changes(part.changes)
            if part.last_page:
                return


def streamed_commit(stub, way, filters, revision):
    request = feed.SubscribeRequest(range=feed.StartRange(first_revision=revision, last_revision=revision), filters=filters)
    for message in stub.Subscribe(request):
        if message.HasField("commit_page"):
            way.took(message)
            way.changes(message.commit_page.changes)


def streamed_state(stub, way, filters):
    others = 0
    request = feed.SubscribeRequest(state=feed.StartState(), filters=filters, digest_version=1)
    stream = stub.Subscribe(request)
    for message in stream:
        if message.HasField("snapshot_page"):
            way.took(message)
            for row in message.snapshot_page.rows:
                held, entry = row.entry, row.entry.entry
                if held.edition == way.edition:
                    way.entry(entry.entity, rank_of(entry))
                else:
                    others += entry_digest(held.ranking, held.edition, entry.entity, rank_of(entry))
        elif message.HasField("snapshot_end"):
            if (way.digest + others) % 2**64 != message.snapshot_end.digest:
                raise SystemExit("the digest of the state is another one")
            stream.cancel()
            return


def main():
    arguments = argparse.ArgumentParser(description="Fetches a whole edition in every way.")
    arguments.add_argument("--server", default="127.0.0.1:50051")
    arguments.add_argument("--ranking", required=True)
    arguments.add_argument("--edition", required=True)
    arguments.add_argument("--compare-with", metavar="EDITION")
    arguments = arguments.parse_args()
    filters = [feed.Filter(rankings=[arguments.ranking], kinds=[types.CHANGE_KIND_ENTRY])]

    def way():
        return Way(arguments.ranking, arguments.edition)

    with grpc.insecure_channel(arguments.server) as channel:
        rankings, changes = ranking_grpc.RankingServiceStub(channel), feed_grpc.FeedServiceStub(channel)
        listed = way()
        revision = listed_entries(rankings, listed)
        listed.print("ListEntries")
        commits = way()
        listed_commit(changes, commits, filters, revision)
        commits.print("ListCommits")
        stream = way()
        streamed_commit(changes, stream, filters, revision)
        stream.print("Subscribe, commits")
        state = way()
        streamed_state(changes, state, filters)
        state.print("Subscribe, state")
        if arguments.compare_with:
            compared, moves = way(), 0
            request = ranking.CompareEditionsRequest(
                ranking=arguments.ranking, earlier_edition=arguments.edition, later_edition=arguments.compare_with)
            for page in pages(rankings.CompareEditions, compared, request):
                moves += len(page.moves)
            print(f"CompareEditions: {moves} moves, {compared.sizes()}")


if __name__ == "__main__":
    main()
