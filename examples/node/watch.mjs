// Keeps a copy of the state of Almanac. It misses no change, repeats none, and resumes after a crash of either side.
//
//     node examples/node/watch.mjs [--server HOST:PORT] [--state-file FILE] [--ranking ID]... [--indicator ID]...
//
// The first run begins with the state. A later run with the same state file begins exactly after the last applied commit.
// `--until head` or `--until REVISION` ends it there.
//
// What a follower has to do, and where this program does it:
//
// - apply a whole commit at its last page, never a part of it (`takeCommitPage`), and the state when it is complete
//   (`takeSnapshotEnd`);
// - store the token together with the applied changes (`CopyFile`);
// - tell a dead connection from a quiet one by its own clock (`SilenceClock`);
// - reconnect with the token after a growing, random wait (`follow`), and drop the token only for reasons that are about the token
//   (`START_OVER`);
// - verify the chain of commits (`takeCommitPage`), each change against the copy (`Copy.apply`), and the digest of the state.

import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import grpc from "@grpc/grpc-js";
import { call, client, detailsOf, numberText, received, typeNamed } from "./almanac.mjs";
import { BrokenPromise, Copy, DIGEST_VERSION, UnknownKind, expect } from "./state.mjs";

// With these reasons the token itself is refused: the client begins again with the state. TOKEN_AHEAD is not
// among them, because the server catches up.
const START_OVER = new Set(["TOKEN_MALFORMED", "TOKEN_OUTDATED", "TOKEN_OTHER_HISTORY", "BELOW_FLOOR"]);
// With one of these statuses and a reason, the request can never work.
const HOPELESS = new Set([
  "INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED",
  "UNIMPLEMENTED", "DATA_LOSS",
].map((name) => grpc.status[name]));
const MISSED_INTERVALS = 3;
// The longest wait for the first message. Connecting takes time, and a server may wait 2 s for the revision of a token.
const OPENING_MS = 5_000;
const LONGEST_WAIT_MS = 10_000;

/** The client must begin again with the state. */
class StartOver extends Error {}

/** `CAUSE_FIRST_RELEASE` as `first release`; a number that this client does not know yet stays a number. */
function word(prefix, name) {
  return String(name).replace(prefix, "").toLowerCase().replaceAll("_", " ");
}

function hex(digest) {
  return BigInt(digest).toString(16).padStart(16, "0");
}

function changeLine(change) {
  const detail = change[change.detail];
  const { before, after } = detail;
  if (change.detail === "value") {
    const row = after ?? before ?? detail.recorded_version;
    const [from, to] = [before, after].map((side) => (side ? numberText(side.value) : "-"));
    return `${row.indicator} ${row.entity} ${row.period} (${row.source}): ${from} -> ${to}, ${word("VALUE_MOVE_", detail.move)}`;
  }
  if (change.detail === "entry") {
    // A move is compared with another edition, or with the same edition before a correction.
    const earlier = detail.compared_with === detail.edition ? before : detail.compared;
    const [from, to] = [earlier, after].map((side) => (side?._rank ? side.rank : "-"));
    return `${detail.ranking} ${detail.edition} ${detail.entity}: ${from} -> ${to}, ${word("MOVEMENT_", detail.movement)}`;
  }
  if (change.detail === "edition") {
    const { ranking, id, status } = after ?? before;
    const what = after ? word("EDITION_STATUS_", status) : "taken back";
    return `edition ${ranking} ${id}: ${detail.recorded_version ? "older version filled in" : what}`;
  }
  const definition = after ?? before;
  return `${definition.item} ${definition[definition.item].id}: ${!after ? "taken back" : before ? "changed" : "new"}`;
}

/**
 * The messages that made a copy, one a line. A real client has a database, and changes rows and token in one transaction.
 * Here one write appends a whole commit, and the next start cuts off what a crash left incomplete.
 */
class CopyFile {
  constructor(path) {
    this.path = path;
  }

  /** All messages up to the last one that carries a token. */
  load() {
    if (!fs.existsSync(this.path)) return [];
    const read = typeNamed("SubscribeResponse").deserialize;
    const messages = [];
    let [whole, length, wholeLength] = [0, 0, 0];
    // A crash cut off the line after the last line break.
    for (const line of fs.readFileSync(this.path, "latin1").split("\n").slice(0, -1)) {
      length += line.length + 1;
      const message = read(Buffer.from(line, "base64"));
      messages.push(message);
      const { snapshot_end: end, commit_page: page, progress } = message;
      if ((end ?? page ?? progress)?.resume_token) [whole, wholeLength] = [messages.length, length];
    }
    fs.truncateSync(this.path, wholeLength);
    return messages.slice(0, whole);
  }

  append(messages) {
    fs.appendFileSync(this.path, lines(messages), { flush: true });
  }

  /** After a crash the file has the old messages or the new ones. */
  replace(messages) {
    fs.writeFileSync(`${this.path}.new`, lines(messages), { flush: true });
    fs.renameSync(`${this.path}.new`, this.path);
  }
}

function lines(messages) {
  return messages.map((message) => `${received.get(message).toString("base64")}\n`).join("");
}

/** Checks and applies streams, one after the other. */
class Watch {
  constructor(path) {
    this.file = new CopyFile(path);
    this.startOver();
    this.loading = true;
    for (const message of this.file.load()) this.take(message);
    this.loading = false;
  }

  startOver() {
    this.copy = new Copy();
    this.token = null;
    this.revision = 0;
    // The last applied commit that matched. The next commit must name it.
    this.lastCommit = 0;
    this.opened = null;
    this.beginStream();
  }

  /** Drops what was incomplete when the last stream ended: the server sends it again from its beginning. */
  beginStream() {
    this.collected = [];
    this.incoming = new Copy();
  }

  take(message) {
    const { opened, snapshot_page: page, snapshot_end: end, commit_page: commit, progress } = message;
    if (opened) this.takeOpened(opened, message);
    if (page) {
      this.incoming.addPage(page);
      this.collected.push(message);
    }
    if (end) this.takeSnapshotEnd(end, message);
    if (commit) this.takeCommitPage(commit, message);
    if (progress) this.takeProgress(progress, message);
    // `lag` and `goodbye` do not change the copy. A message of a kind that this client does not know is ignored.
  }

  takeOpened(opened, message) {
    if (this.token === null) {
      this.opened = opened;
      this.collected.push(message);
      return;
    }
    // The server refuses a token of another history. The client checks it all the same.
    expect(opened.history_id === this.opened.history_id, "Resumable", "the server's history is another one");
    expect(Number(opened.start_revision) === this.revision, "Resumable",
      `had everything to ${this.revision}, resumed at ${opened.start_revision}`);
    // Ids hold no blanks.
    if (opened.left_out_sources.join(" ") !== this.opened.left_out_sources.join(" ")) {
      throw new StartOver("licences of sources changed");
    }
  }

  takeSnapshotEnd(end, message) {
    const { incoming: copy } = this;
    // This proves that no row is missing and none came twice.
    expect(Number(end.row_count) === copy.rows.size && BigInt(end.digest) === copy.digest, "Reliable",
      `${end.row_count} rows with digest ${hex(end.digest)} sent, ${copy.rows.size} with ${hex(copy.digest)} arrived`);
    if (!this.loading) {
      this.file.replace([...this.collected, message]);
      console.log(`state at revision ${end.revision}: ${end.row_count} rows, digest ${hex(end.digest)}`);
    }
    this.copy = copy;
    [this.revision, this.lastCommit, this.token] = [Number(end.revision), 0, end.resume_token];
    this.beginStream();
  }

  takeCommitPage(page, message) {
    const [revision, before] = [Number(page.revision), Number(page.prev_matching_revision)];
    expect(page.page === this.collected.length, "Reliable", `page ${page.page} of revision ${revision}`);
    if (page.page === 0) {
      expect(revision > this.revision, "Ordered", `revision ${revision} after ${this.revision}`);
      expect(before === this.lastCommit, "Chained", `revision ${revision} follows ${before}, we have ${this.lastCommit}`);
    } else {
      const first = this.collected[0].commit_page.revision;
      expect(page.revision === first, "Atomic", `revision ${revision} within ${first}`);
    }
    this.collected.push(message);
    if (!page.last_page) return;
    // Only now is the commit complete. (Write millions of changes to a database as they arrive, in one open transaction.)
    const pages = this.collected;
    const changes = pages.flatMap((one) => one.commit_page.changes);
    for (const change of changes) this.copy.apply(change);
    if (!this.loading) {
      this.file.append(pages);
      const cause = word("CAUSE_", pages[0].commit_page.commit.cause);
      console.log(`revision ${revision} (${cause}), digest ${hex(this.copy.digest)}: ${changes.length} changes`);
      for (const change of changes) console.log(`  ${changeLine(change)}`);
    }
    [this.revision, this.lastCommit, this.token] = [revision, revision, page.resume_token];
    this.beginStream();
  }

  takeProgress(progress, message) {
    expect(this.collected.length === 0, "Atomic", `progress ${progress.revision} within a commit`);
    if (Number(progress.revision) <= this.revision) return;
    if (!this.loading) this.file.append([message]);
    [this.revision, this.token] = [Number(progress.revision), progress.resume_token];
  }

  reached(until) {
    return until !== undefined && this.token !== null && this.revision >= until;
  }
}

/**
 * Cancels a call when no message comes for too long. The clock runs only while the client waits for a message, not while it
 * applies one.
 */
class SilenceClock {
  ranOut = false;

  constructor(stream) {
    this.stream = stream;
  }

  /** The messages of the call. `silence` is the longest wait for one, in milliseconds. */
  async *messages(silence) {
    this.start(Math.max(silence, OPENING_MS));
    try {
      for await (const message of this.stream) {
        clearTimeout(this.timer);
        yield message;
        this.start(silence);
      }
    } finally {
      clearTimeout(this.timer);
    }
  }

  start(milliseconds) {
    this.timer = setTimeout(() => {
      this.ranOut = true;
      this.stream.cancel();
    }, milliseconds);
  }
}

async function follow(server, watch, filters, interval, until) {
  for (let failures = 0; !watch.reached(until); ) {
    const start = watch.token ? { resume_token: watch.token } : { state: {} };
    watch.beginStream();
    let wait;
    let why = "the stream ended";
    // Each stream gets a new connection, because the old one may be dead and not know it.
    const feed = client("FeedService", server);
    const progress_interval = { seconds: Math.floor(interval), nanos: Math.round((interval % 1) * 1e9) };
    const stream = feed.Subscribe({ ...start, filters, progress_interval, digest_version: DIGEST_VERSION });
    const clock = new SilenceClock(stream);
    try {
      for await (const message of clock.messages(MISSED_INTERVALS * interval * 1000)) {
        failures = 0;
        watch.take(message);
        if (watch.reached(until)) return;
        if (message.goodbye) {
          // The server ends the stream and says when to reconnect. The client needs no other token than its own.
          const { reason, reconnect_after: after } = message.goodbye;
          wait = Number(after.seconds) * 1000 + after.nanos / 1e6;
          why = word("GOODBYE_REASON_", reason);
        }
      }
    } catch (error) {
      if (error instanceof StartOver) {
        [why, wait] = [error.message, 0];
        watch.startOver();
      } else if (error.code === undefined || error instanceof BrokenPromise) {
        throw error;
      } else {
        const { reason, wait: serverWait } = detailsOf(error);
        if (clock.ranOut) {
          why = "the server is silent";
        } else if (START_OVER.has(reason)) {
          why = `${reason}: ${error.details}; what changed until the next state is not told`;
          watch.startOver();
        } else if (reason && HOPELESS.has(error.code)) {
          throw error;
        } else if (wait === undefined) {
          [why, wait] = [error.details, serverWait];
        }
      }
    } finally {
      stream.cancel();
      feed.close();
    }
    if (wait === undefined) {
      // The bound of the wait doubles, and the wait is random below it: so clients do not all reconnect at once.
      wait = Math.random() * Math.min(LONGEST_WAIT_MS, 100 * 2 ** failures);
      failures = Math.min(failures + 1, 10);
    }
    console.error(`${why}; coming back in ${(wait / 1000).toFixed(1)} s`);
    await sleep(wait);
  }
}

const { values: options } = parseArgs({
  options: {
    server: { type: "string", default: "127.0.0.1:50051" },
    "state-file": { type: "string", default: "almanac-watch.state" },
    ranking: { type: "string", multiple: true, default: [] },
    indicator: { type: "string", multiple: true, default: [] },
    // Progress interval in seconds. After three without a message the connection counts as dead.
    interval: { type: "string", default: "1" },
    until: { type: "string" },
  },
});
// A token belongs to its filters: with other filters the server refuses it. A change matches a filter if all its fields accept it,
// so rankings and indicators are two filters.
const { ranking: rankings, indicator: indicators } = options;
const filters = [];
if (rankings.length) filters.push({ name: "rankings", rankings });
if (indicators.length) filters.push({ name: "indicators", indicators });
try {
  let until = options.until;
  if (until === "head") {
    const feed = client("FeedService", options.server);
    const waitForServer = new grpc.Metadata({ waitForReady: true });
    until = (await call(feed, "GetHead", {}, waitForServer)).head;
    feed.close();
  }
  const watch = new Watch(options["state-file"]);
  await follow(options.server, watch, filters, Number(options.interval), until === undefined ? undefined : Number(until));
} catch (error) {
  let said = error.message;
  if (error instanceof BrokenPromise) said = `the server broke the promise ${said}`;
  if (error instanceof UnknownKind) said = `the server sent ${said}: this client is too old to keep a copy`;
  console.error(`watch: ${said}`);
  process.exitCode = 1;
}
