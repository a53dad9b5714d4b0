// Does in Node what examples/python/edition.py does: fetches a whole edition in every way, without a change of limits.
//
//     node examples/node/edition.mjs --ranking ID --edition ID [--compare-with ID] [--server HOST:PORT]

import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { call, client, received } from "./almanac.mjs";

const { values: options } = parseArgs({
  options: {
    server: { type: "string", default: "127.0.0.1:50051" },
    ranking: { type: "string" },
    edition: { type: "string" },
    "compare-with": { type: "string" },
  },
});
const { ranking, edition } = options;
const [rankings, feed] = [client("RankingService", options.server), client("FeedService", options.server)];
const filters = [{ rankings: [ranking], kinds: ["CHANGE_KIND_ENTRY"] }];

/** What an entry adds to the digest of the state, in version 1. It is quick, and enough to see that no entry is missing. */
function entryDigest(of, { entity, _rank, rank }) {
  const line = ["E", ranking, of, entity, _rank ? rank : ""].join("\t");
  return createHash("sha256").update(line).digest().readBigUInt64LE(0);
}

/** The entries and messages that arrived in one way. */
class Way {
  entries = 0;
  digest = 0n;
  messages = 0;
  bytes = 0;
  longest = 0;

  took(answer) {
    const length = received.get(answer).length;
    this.messages += 1;
    this.bytes += length;
    this.longest = Math.max(this.longest, length);
  }

  entry(entry) {
    this.entries += 1;
    this.digest = BigInt.asUintN(64, this.digest + entryDigest(edition, entry));
  }

  changes(changes) {
    for (const { entry: { edition: of, after } } of changes) {
      // An entity that left has a change too, without an entry after.
      if (of === edition && after) this.entry(after);
    }
  }

  print(name) {
    const digest = this.digest.toString(16).padStart(16, "0");
    console.log(`${name}: ${this.entries} entries, digest ${digest}, ${this.sizes()}`);
  }

  sizes() {
    return `${this.messages} messages, ${this.bytes} bytes, longest ${this.longest}`;
  }
}

/** All pages of a list. The next request is the same with the token of the last page, until a page has no token. */
async function* pages(service, method, way, request) {
  for (let page_token = ""; ; ) {
    const page = await call(service, method, { ...request, page_token });
    way.took(page);
    yield page;
    if (!(page_token = page.next_page_token)) return;
  }
}

let way = new Way();
let revision;
for await (const page of pages(rankings, "ListEntries", way, { ranking, edition, page_size: 1000 })) {
  revision = page.edition.revision;
  for (const entry of page.entries) way.entry(entry);
}
way.print("ListEntries");

way = new Way();
listing: for await (const page of pages(feed, "ListCommits", way, { after_revision: revision - 1, filters })) {
  for (const part of page.commits) {
    if (part.revision !== revision) break listing;
    way.changes(part.changes);
    if (part.last_page) break listing;
  }
}
way.print("ListCommits");

way = new Way();
for await (const answer of feed.Subscribe({ range: { first_revision: revision, last_revision: revision }, filters })) {
  if (!answer.commit_page) continue;
  way.took(answer);
  way.changes(answer.commit_page.changes);
}
way.print("Subscribe, commits");

way = new Way();
let others = 0n;
const state = feed.Subscribe({ state: {}, filters, digest_version: 1 });
for await (const answer of state) {
  const { snapshot_page: page, snapshot_end: end } = answer;
  if (page) {
    way.took(answer);
    for (const { entry: { edition: of, entry } } of page.rows) {
      if (of === edition) way.entry(entry);
      else others += entryDigest(of, entry);
    }
  }
  if (end) {
    if (BigInt.asUintN(64, way.digest + others) !== BigInt(end.digest)) {
      throw new Error("the digest of the state is another one");
    }
    break;
  }
}
state.cancel();
way.print("Subscribe, state");

if (options["compare-with"]) {
  way = new Way();
  let moves = 0;
  const request = { ranking, earlier_edition: edition, later_edition: options["compare-with"] };
  for await (const page of pages(rankings, "CompareEditions", way, request)) moves += page.moves.length;
  console.log(`CompareEditions: ${moves} moves, ${way.sizes()}`);
}
rankings.close();
feed.close();
