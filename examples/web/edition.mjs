// Does by gRPC-Web what examples/python/edition.py does: fetches a whole edition in every way, without a change of limits.
//
//     node examples/web/edition.mjs --ranking ID --edition ID [--compare-with ID] [--server URL]

import { parseArgs } from "node:util";
import { toBinary } from "@bufbuild/protobuf";
import { clientOf } from "./follow.mjs";
import { ChangeKind } from "./gen/almanac/v1/types_pb.js";
import { FeedService } from "./gen/almanac/v1/feed_service_pb.js";
import { RankingService } from "./gen/almanac/v1/ranking_service_pb.js";

const { values: options } = parseArgs({
  options: {
    server: { type: "string", default: "http://127.0.0.1:50051" },
    ranking: { type: "string" },
    edition: { type: "string" },
    "compare-with": { type: "string" },
  },
});
const { ranking, edition } = options;
const [rankings, feed] = [clientOf(RankingService, options.server), clientOf(FeedService, options.server)];
const filters = [{ rankings: [ranking], kinds: [ChangeKind.ENTRY] }];

/** An entry's row in the digest of the state, in version 1. It is quick, and enough to see that no entry is missing. */
function entryLine(of, entity, rank) {
  return ["E", ranking, of, entity, rank ?? ""].join("\t");
}

/** The digest of rows is the sum of the digests of each, in any order. */
async function digestOfLines(lines) {
  const hash = async (text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  let sum = 0n;
  for (const hashed of await Promise.all(lines.map(hash))) sum += new DataView(hashed).getBigUint64(0, true);
  return BigInt.asUintN(64, sum);
}

/** The entries and messages that arrived in one way. */
class Way {
  ranks = [];
  messages = 0;
  bytes = 0;
  longest = 0;

  took(method, message) {
    const length = toBinary(method.output, message).length;
    this.messages += 1;
    this.bytes += length;
    this.longest = Math.max(this.longest, length);
  }

  changes(changes) {
    for (const { detail } of changes) {
      const { edition: of, after } = detail.value;
      // An entity that left has a change too, without an entry after.
      if (of === edition && after) this.ranks.push([after.entity, after.rank]);
    }
  }

  async print(name) {
    const digest = await digestOfLines(this.ranks.map(([entity, rank]) => entryLine(edition, entity, rank)));
    const hex = digest.toString(16).padStart(16, "0");
    console.log(`${name}: ${this.ranks.length} entries, digest ${hex}, ${this.messages} messages, ${this.bytes} bytes, ` +
      `longest ${this.longest}`);
    return digest;
  }
}

async function* pages(call, method, way, request) {
  for (let pageToken = ""; ; ) {
    const page = await call({ ...request, pageToken });
    way.took(method, page);
    yield page;
    if (!(pageToken = page.nextPageToken)) return;
  }
}

let way = new Way();
let revision;
for await (const page of pages(rankings.listEntries, RankingService.method.listEntries, way, { ranking, edition, pageSize: 1000 })) {
  revision = page.edition.revision;
  for (const entry of page.entries) way.ranks.push([entry.entity, entry.rank]);
}
await way.print("ListEntries");

way = new Way();
listing: for await (const page of pages(feed.listCommits, FeedService.method.listCommits, way, { afterRevision: revision - 1n, filters })) {
  for (const part of page.commits) {
    if (part.revision !== revision) break listing;
    way.changes(part.changes);
    if (part.lastPage) break listing;
  }
}
await way.print("ListCommits");

way = new Way();
for await (const response of feed.subscribe({ start: { case: "range", value: { firstRevision: revision, lastRevision: revision } }, filters })) {
  const { case: kind, value: message } = response.body;
  if (kind !== "commitPage") continue;
  way.took(FeedService.method.subscribe, response);
  way.changes(message.changes);
}
await way.print("Subscribe, commits");

way = new Way();
const leaving = new AbortController();
const others = [];
const state = feed.subscribe({ start: { case: "state", value: {} }, filters, digestVersion: 1 }, { signal: leaving.signal });
for await (const response of state) {
  const { case: kind, value: message } = response.body;
  if (kind === "snapshotPage") {
    way.took(FeedService.method.subscribe, response);
    for (const { item: { value: row } } of message.rows) {
      if (row.edition === edition) way.ranks.push([row.entry.entity, row.entry.rank]);
      else others.push(entryLine(row.edition, row.entry.entity, row.entry.rank));
    }
  }
  if (kind === "snapshotEnd") {
    const digest = await way.print("Subscribe, state") + await digestOfLines(others);
    if (BigInt.asUintN(64, digest) !== message.digest) throw new Error("the digest of the state is another one");
    leaving.abort();
    break;
  }
}

if (options["compare-with"]) {
  way = new Way();
  let moves = 0;
  const request = { ranking, earlierEdition: edition, laterEdition: options["compare-with"] };
  for await (const page of pages(rankings.compareEditions, RankingService.method.compareEditions, way, request)) {
    moves += page.moves.length;
  }
  console.log(`CompareEditions: ${moves} moves, ${way.messages} messages, ${way.bytes} bytes, longest ${way.longest}`);
}
// Node 20 may keep the connection of a cancelled stream open, and would not exit. A page has no such problem.
process.exit();
