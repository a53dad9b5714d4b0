// Follows every change of Almanac from a page in a browser, misses none, repeats none, and goes on after a crash of either
// side. Nothing here is Node's: a bundler puts it into a page as it is.
//
// A commit is applied whole, at its last page; the token is stored with it; a broken stream is resumed after a growing,
// random wait; the chain of commits and the digest of the state are verified.
//
// Once: `npm ci` and `npm run generate` in this folder. Then:
//
//     import { follow } from "./follow.mjs";
//     await follow("http://127.0.0.1:50051", store);
//
// `store` is the page's own copy of the data, for example in IndexedDB. Each of its functions does all it is given or
// nothing, in one transaction, the place included: then a crash between the two cannot lose or repeat a commit.
//
//     place()                         where it is, or null: what was last given as `place` below
//     state(rows, place)              the whole state, in place of what is there
//     commit(commit, changes, place)  one commit, whole
//     progress(place)                 nothing more up to here

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { FeedService, GoodbyeReason } from "./gen/almanac/v1/feed_service_pb.js";

// Asking again cannot help with these: the request, the token or the permission is wrong.
const HOPELESS = new Set([
  Code.InvalidArgument, Code.FailedPrecondition, Code.OutOfRange, Code.NotFound, Code.PermissionDenied,
  Code.Unauthenticated, Code.Unimplemented, Code.DataLoss,
]);

/** The server did something the contract excludes. What was applied until then holds; start afresh from the state. */
export class BrokenPromise extends Error {}

function expect(holds, promise, seen) {
  if (!holds) throw new BrokenPromise(`${promise}: ${seen}`);
}

/** A client of one service by gRPC-Web, which is what a browser can speak. */
export function clientOf(service, server) {
  return createClient(service, createGrpcWebTransport({ baseUrl: server }));
}

/**
 * Applies the state, then every change, until `signal` is aborted. A token belongs to its filters: with others, the server
 * refuses it.
 */
export async function follow(server, store, { filters = [], signal, said = console.warn } = {}) {
  const feed = clientOf(FeedService, server);
  for (let failures = 0; !signal?.aborted; ) {
    let wait;
    let why = "the stream ended";
    try {
      const stream = new Stream(store);
      const kept = store.place();
      const start = kept ? { case: "resumeToken", value: kept.token } : { case: "state", value: {} };
      for await (const { message } of feed.subscribe({ start, filters, progressInterval: { seconds: 1n } }, { signal })) {
        failures = 0;
        await stream.take(message);
        if (message.case === "goodbye") {
          // The server ends the stream and says when to come back. What is kept is as good as its token.
          const { reason, reconnectAfter } = message.value;
          wait = Number(reconnectAfter?.seconds ?? 0n) * 1000 + (reconnectAfter?.nanos ?? 0) / 1e6;
          why = GoodbyeReason[reason];
        }
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof ConnectError) || HOPELESS.has(error.code)) throw error;
      why = error.message;
    }
    if (wait === undefined) {
      // Doubling waits, each drawn evenly from zero to its bound: pages of a server that went away come back spread out.
      wait = Math.random() * Math.min(10_000, 100 * 2 ** failures);
      failures = Math.min(failures + 1, 10);
    }
    said(`${why}; coming back in ${(wait / 1000).toFixed(1)} s`);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** One stream, checked. It is new for each connection: what was not complete comes again from its beginning. */
class Stream {
  #store;
  #historyId;
  #rows = [];
  #commit = null;
  #changes = [];
  #nextPage = 0;

  constructor(store) {
    this.#store = store;
  }

  async take({ case: kind, value: message }) {
    const kept = this.#store.place();
    if (kind === "opened") {
      this.#historyId = message.historyId;
      if (!kept) return;
      expect(message.historyId === kept.historyId, "Resumable", "the server's history is another one");
      expect(message.startRevision === kept.revision, "Resumable",
        `had everything to ${kept.revision}, resumed at ${message.startRevision}`);
    } else if (kind === "snapshotPage") {
      this.#rows.push(...message.rows);
    } else if (kind === "snapshotEnd") {
      // Proof that nothing is missing and nothing came twice.
      const digest = await digestOf(this.#rows);
      expect(message.rowCount === BigInt(this.#rows.length) && message.digest === digest, "Reliable",
        `${message.rowCount} rows with digest ${message.digest} sent, ${this.#rows.length} with ${digest} arrived`);
      await this.#store.state(this.#rows, this.#place(message.revision, 0n, message.resumeToken));
      this.#rows = [];
    } else if (kind === "commitPage") {
      await this.#page(message, kept);
    } else if (kind === "progress") {
      expect(!this.#commit, "Atomic", `progress ${message.revision} within a commit`);
      if (kept && message.revision > kept.revision) {
        await this.#store.progress(this.#place(message.revision, kept.lastCommit, message.resumeToken));
      }
    }
  }

  async #page(page, kept) {
    expect(page.page === this.#nextPage, "Reliable", `page ${page.page} of revision ${page.revision}`);
    if (page.page === 0) {
      expect(page.revision > kept.revision, "Ordered", `revision ${page.revision} after ${kept.revision}`);
      // The chain: the commit before this one that matched must be the last one we applied.
      expect(page.prevMatchingRevision === kept.lastCommit, "Chained",
        `revision ${page.revision} follows ${page.prevMatchingRevision}, we have ${kept.lastCommit}`);
      this.#commit = page.commit;
    }
    expect(page.revision === this.#commit.revision, "Atomic", `revision ${page.revision} within another`);
    this.#nextPage += 1;
    this.#changes.push(...page.changes);
    if (!page.lastPage) return;
    // Only now is the commit whole: its changes and its token go into the store together.
    const [commit, changes] = [this.#commit, this.#changes];
    [this.#commit, this.#changes, this.#nextPage] = [null, [], 0];
    await this.#store.commit(commit, changes, this.#place(page.revision, page.revision, page.resumeToken));
  }

  #place(revision, lastCommit, token) {
    return { historyId: this.#historyId, revision, lastCommit, token };
  }
}

/** The text of a figure, digit by digit. */
export function numberText(value) {
  if (value.exact) return value.exact;
  if (value.number === undefined) return "missing";
  const decimals = value.decimals ?? 0;
  // `toFixed` falls back to an exponent from 1e21 on, and drops the sign of a negative zero.
  if (Math.abs(value.number) >= 1e21) return BigInt(value.number) + (decimals ? "." + "0".repeat(decimals) : "");
  return (Object.is(value.number, -0) ? "-" : "") + value.number.toFixed(decimals);
}

/** What a row of the state adds to the digest (the README defines it); empty for definitions and editions. */
function line({ row: { case: kind, value: row } }) {
  if (kind === "figure") {
    const dimensions = row.dimensions.map(({ id, value }) => `${id}=${value}`).join(";");
    const { indicator, entity, source, period, value } = row;
    return ["V", indicator, entity, source, dimensions, period, numberText(value), value.multiplierPow10].join("\t");
  }
  return kind === "entry" ? entryLine(row.ranking, row.edition, row.entry.entity, row.entry.rank) : "";
}

export function entryLine(ranking, edition, entity, rank) {
  return ["E", ranking, edition, entity, rank ?? ""].join("\t");
}

/** The digest of the state: the sum of those of its lines, in any order. */
export function digestOf(rows) {
  return digestOfLines(rows.map(line));
}

export async function digestOfLines(lines) {
  const hash = async (text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  let sum = 0n;
  for (const hashed of await Promise.all(lines.filter((text) => text !== "").map(hash))) {
    sum += new DataView(hashed).getBigUint64(0, true);
  }
  return BigInt.asUintN(64, sum);
}
