// Follows every change of Almanac, misses none, repeats none, and goes on after a crash of either side.
//
//     node examples/node/watch.mjs [--server HOST:PORT] [--state-file FILE] [--ranking ID]... [--indicator ID]...
//
// The first run begins with the state; a later run with the same state file begins exactly behind what the last one
// applied. `--until head` or `--until REVISION` ends it there.
//
// What a subscriber has to do, and where it is done here:
//
// - apply a commit whole, at its last page, never part of it (`takePage`), and the state when it is complete (`take`);
// - store the token together with what was applied (`keep`);
// - come back after a broken stream with a growing, random wait (`follow`);
// - verify the chain of commits (`takePage`), and by count and digest the state (`take`).

import { createHash } from "node:crypto";
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import grpc from "@grpc/grpc-js";
import { call, client, numberText } from "./almanac.mjs";

// Asking again cannot help with these: the request, the token or the permission is wrong.
const HOPELESS = new Set([
  "INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED",
  "UNIMPLEMENTED", "DATA_LOSS",
].map((name) => grpc.status[name]));

/** The server did something the contract excludes. What was applied until then holds; start afresh from the state. */
class BrokenPromise extends Error {}

function expect(holds, promise, seen) {
  if (!holds) throw new BrokenPromise(`${promise}: ${seen}`);
}

/** What a row of the state adds to the digest (the README defines it). Definitions and editions add nothing. */
function rowDigest({ row, figure, entry: held }) {
  let line;
  if (row === "figure") {
    const dimensions = figure.dimensions.map(({ id, value }) => `${id}=${value}`).join(";");
    line = ["V", figure.indicator, figure.entity, figure.source, dimensions, figure.period,
      numberText(figure.value), figure.value.multiplier_pow10];
  } else if (row === "entry") {
    line = ["E", held.ranking, held.edition, held.entry.entity, held.entry._rank ? held.entry.rank : ""];
  } else {
    return 0n;
  }
  return createHash("sha256").update(line.join("\t")).digest().readBigUInt64LE(0);
}

/** `CAUSE_FIRST_RELEASE` as `first release`; a number that this client does not know yet stays a number. */
function word(prefix, name) {
  return String(name).replace(prefix, "").toLowerCase().replaceAll("_", " ");
}

function changeLine({ what, value, entry, edition, definition }) {
  if (what === "value") {
    const [before, after] = [value.before, value.after].map((side) => (side ? numberText(side) : "-"));
    return `${value.indicator} ${value.entity} ${value.period} (${value.source}): ${before} -> ${after}, ` +
      word("VALUE_MOVE_", value.move);
  }
  if (what === "entry") {
    const { move } = entry;
    const [before, after] = [move.before, move.after].map((side) => (side?._rank ? side.rank : "-"));
    return `${entry.ranking} ${entry.edition} ${move.entity}: ${before} -> ${after}, ${word("MOVEMENT_", move.movement)}`;
  }
  if (what === "edition") {
    const { after } = edition;
    return `edition ${after.ranking} ${after.edition}: ${word("EDITION_STATUS_", after.status)}`;
  }
  if (what === "definition") {
    const { after, before } = definition;
    return `${after.object} ${after[after.object].id}: ${before ? "changed" : "new"}`;
  }
  return "a kind of change that this client does not know";
}

/** Applies a stream. To apply means to print here; a real client writes to its database instead. */
class Watch {
  constructor(stateFile) {
    this.stateFile = stateFile;
    // What survives a crash: history, the revision applied, the last commit that matched, and the token behind it.
    this.kept = fs.existsSync(stateFile) ? JSON.parse(fs.readFileSync(stateFile, "utf8")) : null;
    this.forget();
  }

  /** A stream broke: what was not complete comes again from its beginning. */
  forget() {
    this.rows = 0;
    this.digest = 0n;
    this.commit = null;
    this.changes = [];
    this.nextPage = 0;
  }

  /**
   * Old or new, never half. A real client stores this in the same transaction as the data it applied: then a crash
   * between the two cannot lose or repeat a commit.
   */
  keep(revision, lastCommit, token) {
    this.kept = { history_id: this.historyId, revision, last_commit: lastCommit, token };
    const fresh = `${this.stateFile}.new`;
    fs.writeFileSync(fresh, JSON.stringify(this.kept), { flush: true });
    fs.renameSync(fresh, this.stateFile);
  }

  /** Checks and applies one message. */
  take({ message: kind, ...message }) {
    if (kind === "opened") {
      const { history_id: historyId, start_revision: start } = message.opened;
      this.historyId = historyId;
      if (!this.kept) return;
      // The server refuses a token of another history itself; this is the client's own proof.
      expect(historyId === this.kept.history_id, "Resumable", "the server's history is another one");
      const { revision } = this.kept;
      expect(Number(start) === revision, "Resumable", `had everything to ${revision}, resumed at ${start}`);
    } else if (kind === "snapshot_page") {
      this.rows += message.snapshot_page.rows.length;
      for (const row of message.snapshot_page.rows) this.digest = BigInt.asUintN(64, this.digest + rowDigest(row));
    } else if (kind === "snapshot_end") {
      const end = message.snapshot_end;
      // Proof that nothing is missing and nothing came twice; a copy kept up to date can be checked so at any time.
      const hex = (digest) => BigInt(digest).toString(16).padStart(16, "0");
      expect(Number(end.row_count) === this.rows && BigInt(end.digest) === this.digest, "Reliable",
        `${end.row_count} rows with digest ${hex(end.digest)} sent, ${this.rows} with ${hex(this.digest)} arrived`);
      console.log(`state at revision ${end.revision}: ${end.row_count} rows, digest ${hex(end.digest)}`);
      this.keep(Number(end.revision), 0, end.resume_token);
    } else if (kind === "commit_page") {
      this.takePage(message.commit_page);
    } else if (kind === "progress") {
      const { revision, resume_token: token } = message.progress;
      expect(!this.commit, "Atomic", `progress ${revision} within a commit`);
      if (this.kept && Number(revision) > this.kept.revision) this.keep(Number(revision), this.kept.last_commit, token);
    }
  }

  takePage(page) {
    const [revision, before] = [Number(page.revision), Number(page.prev_matching_revision)];
    expect(page.page === this.nextPage, "Reliable", `page ${page.page} of revision ${revision}`);
    if (page.page === 0) {
      this.commit = page.commit;
      const { kept } = this;
      expect(revision > kept.revision, "Ordered", `revision ${revision} after ${kept.revision}`);
      // The chain: the commit before this one that matched must be the last one we applied.
      expect(before === kept.last_commit, "Chained", `revision ${revision} follows ${before}, we have ${kept.last_commit}`);
    }
    expect(page.revision === this.commit.revision, "Atomic", `revision ${revision} within ${this.commit.revision}`);
    this.nextPage += 1;
    for (const change of page.changes) this.changes.push(change);
    if (!page.last_page) return;
    // Only now is the commit whole. (Millions of changes go to a database as they come, in one open transaction.)
    console.log(`revision ${revision} (${word("CAUSE_", this.commit.cause)}): ${this.changes.length} changes`);
    for (const change of this.changes) console.log(`  ${changeLine(change)}`);
    this.forget();
    this.keep(revision, revision, page.resume_token);
  }

  reached(until) {
    return until !== undefined && this.kept !== null && this.kept.revision >= until;
  }
}

async function follow(feed, watch, filters, until) {
  for (let failures = 0; ; ) {
    const start = watch.kept ? { resume_token: watch.kept.token } : { state: {} };
    watch.forget();
    let wait;
    let why = "the stream ended";
    const stream = feed.Subscribe({ ...start, filters, progress_interval: { seconds: 1 } });
    try {
      for await (const message of stream) {
        failures = 0;
        watch.take(message);
        if (watch.reached(until)) return;
        if (message.goodbye) {
          // The server ends the stream and says when to come back. What we kept is as good as its token.
          const after = message.goodbye.reconnect_after ?? { seconds: "0", nanos: 0 };
          wait = Number(after.seconds) * 1000 + after.nanos / 1e6;
          why = word("GOODBYE_REASON_", message.goodbye.reason);
        }
      }
    } catch (error) {
      if (error instanceof BrokenPromise || error.code === undefined || HOPELESS.has(error.code)) throw error;
      if (wait === undefined) why = error.details;
    } finally {
      stream.cancel();
    }
    if (wait === undefined) {
      // Doubling waits, each drawn evenly from zero to its bound: clients of a server that went away come back spread
      // out.
      wait = Math.random() * Math.min(10_000, 100 * 2 ** failures);
      failures = Math.min(failures + 1, 10);
    }
    console.error(`${why}; coming back in ${(wait / 1000).toFixed(1)} s`);
    await sleep(wait);
  }
}

const { values: options } = parseArgs({
  options: {
    server: { type: "string", default: "127.0.0.1:50051" },
    "state-file": { type: "string", default: "almanac-watch.json" },
    ranking: { type: "string", multiple: true, default: [] },
    indicator: { type: "string", multiple: true, default: [] },
    until: { type: "string" },
  },
});
// A token belongs to its filters: with others, the server refuses it.
const { ranking: rankings, indicator: indicators } = options;
const filters = rankings.length || indicators.length ? [{ rankings, indicators }] : [];
const feed = client("FeedService", options.server);
try {
  let until = options.until;
  if (until === "head") {
    const waitForServer = new grpc.Metadata({ waitForReady: true });
    until = (await call(feed, "GetHead", {}, waitForServer)).head;
  }
  await follow(feed, new Watch(options["state-file"]), filters, until === undefined ? undefined : Number(until));
} catch (error) {
  const said = error instanceof BrokenPromise ? `the server broke the promise ${error.message}` : error.message;
  console.error(`watch: ${said}`);
  process.exitCode = 1;
}
feed.close();
