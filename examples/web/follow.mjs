// Keeps a copy of the state of Almanac in a page of a browser. It misses no change, repeats none, and resumes after a crash of
// either side. It uses nothing of Node: a bundler puts it into a page as it is.
//
// It applies a whole commit at its last page, and stores the token with it. It gives up a connection that is silent for too long,
// and resumes a broken stream after a growing, random wait. It verifies the chain of commits, each change, and the digest.
//
// Once: `npm ci` and `npm run generate` in this folder. Then:
//
//     import { follow } from "./follow.mjs";
//     await follow("http://127.0.0.1:50051", store, { onState, onCommit });
//
// `store` keeps the messages that made the copy, for example in IndexedDB under growing numbers. Each of its functions stores all
// of its messages or none, in one transaction, so that a crash cannot lose or repeat a commit.
//
//     load()             all messages in order, bytes each
//     replace(messages)  these instead of all stored ones
//     append(messages)   these after the stored ones

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { FeedService, GoodbyeReason, SubscribeResponseSchema } from "./gen/almanac/v1/feed_service_pb.js";
import { Copy, DIGEST_VERSION, expect } from "./state.mjs";

// With these reasons the token itself is refused: the client begins again with the state. TOKEN_AHEAD is not
// among them, because the server catches up.
const START_OVER = new Set(["TOKEN_MALFORMED", "TOKEN_OUTDATED", "TOKEN_OTHER_HISTORY", "BELOW_FLOOR"]);
// With one of these statuses and a reason, the request can never work.
const HOPELESS = new Set([
  Code.InvalidArgument, Code.FailedPrecondition, Code.OutOfRange, Code.NotFound, Code.PermissionDenied,
  Code.Unauthenticated, Code.Unimplemented, Code.DataLoss,
]);
const MISSED_INTERVALS = 3;
// The longest wait for the first message. Connecting takes time, and a server may wait 2 s for the revision of a token.
const OPENING_MS = 5_000;
const LONGEST_WAIT_MS = 10_000;

/** The client must begin again with the state. */
class StartOver extends Error {}

/** A client of one service by gRPC-Web, the protocol for browsers. */
export function clientOf(service, server) {
  return createClient(service, createGrpcWebTransport({ baseUrl: server }));
}

/**
 * Keeps the copy until `signal` is aborted. `interval` is the progress interval in milliseconds: after three without a message the
 * connection counts as dead. A token belongs to its filters: with other filters the server refuses it.
 *
 * `follow` calls `onState(copy, revision)` and `onCommit(commit, changes, copy)` after it stored them, and `onPosition(revision)`
 * whenever the copy is at a later revision.
 */
export async function follow(server, store, options = {}) {
  const { filters = [], signal, interval = 1_000, said = console.warn } = options;
  const feed = clientOf(FeedService, server);
  const replica = new Replica(store, options);
  await replica.load();
  for (let failures = 0; !signal?.aborted; ) {
    let wait;
    let why = "the stream ended";
    replica.beginStream();
    const { token } = replica;
    const start = token ? { case: "resumeToken", value: token } : { case: "state", value: {} };
    const progressInterval = { seconds: BigInt(Math.floor(interval / 1000)), nanos: Math.round((interval % 1000) * 1e6) };
    const clock = new SilenceClock(signal);
    try {
      const request = { start, filters, progressInterval, digestVersion: DIGEST_VERSION };
      const stream = feed.subscribe(request, { signal: clock.signal });
      for await (const response of clock.messages(stream, MISSED_INTERVALS * interval)) {
        failures = 0;
        await replica.take(response);
        if (response.body.case === "goodbye") {
          // The server ends the stream and says when to reconnect. The client needs no other token than the stored one.
          const { reason, reconnectAfter } = response.body.value;
          wait = milliseconds(reconnectAfter);
          why = GoodbyeReason[reason] ?? String(reason);
        }
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof StartOver) {
        [why, wait] = [error.message, 0];
        replica.startOver();
      } else if (clock.ranOut) {
        why = "the server is silent";
      } else if (!(error instanceof ConnectError)) {
        throw error;
      } else {
        const { reason, wait: serverWait } = detailsOf(error);
        if (START_OVER.has(reason)) {
          why = `${error.message} (${reason}); what changed until the next state is not told`;
          replica.startOver();
        } else if (reason && HOPELESS.has(error.code)) {
          throw error;
        } else if (wait === undefined) {
          [why, wait] = [error.message, serverWait];
        }
      }
    }
    if (wait === undefined) {
      // The bound of the wait doubles, and the wait is random below it: so pages do not all reconnect at once.
      wait = Math.random() * Math.min(LONGEST_WAIT_MS, 100 * 2 ** failures);
      failures = Math.min(failures + 1, 10);
    }
    said(`${why}; coming back in ${(wait / 1000).toFixed(1)} s`);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function milliseconds(duration) {
  return Number(duration?.seconds ?? 0n) * 1000 + (duration?.nanos ?? 0) / 1e6;
}

/** The reason of an error and the milliseconds to wait. An error of a proxy or of the library has no reason. */
function detailsOf(error) {
  let reason;
  let wait;
  for (const { type, value } of error.details) {
    const fields = type && fieldsOf(value);
    if (type === "google.rpc.ErrorInfo" && text(fields[2]) === "almanac") reason = text(fields[1]);
    if (type === "google.rpc.RetryInfo" && fields[1]) {
      const delay = fieldsOf(fields[1]);
      wait = (delay[1] ?? 0) * 1000 + (delay[2] ?? 0) / 1e6;
    }
  }
  return { reason, wait: reason && wait };
}

/** The fields of an encoded message by their numbers. It reads only the types that ErrorInfo and RetryInfo have. */
function fieldsOf(bytes) {
  const reader = new BinaryReader(bytes);
  const fields = {};
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (wire === 0) fields[number] = Number(reader.int64());
    else if (wire === 2) fields[number] = reader.bytes();
    else reader.skip(wire, number);
  }
  return fields;
}

function text(bytes) {
  return new TextDecoder().decode(bytes);
}

/**
 * Aborts a call when no message comes for too long. The clock runs only while the page waits for a message, not while it applies
 * one. Nothing else notices: a browser keeps a dead connection for many minutes.
 */
class SilenceClock {
  ranOut = false;
  #leaving = new AbortController();
  #timer;

  constructor(signal) {
    this.signal = signal ? AbortSignal.any([signal, this.#leaving.signal]) : this.#leaving.signal;
  }

  /** The messages of the call. `silence` is the longest wait for one, in milliseconds. */
  async *messages(stream, silence) {
    this.#start(Math.max(silence, OPENING_MS));
    try {
      for await (const message of stream) {
        clearTimeout(this.#timer);
        yield message;
        this.#start(silence);
      }
    } finally {
      clearTimeout(this.#timer);
      this.#leaving.abort();
    }
  }

  #start(wait) {
    this.#timer = setTimeout(() => {
      this.ranOut = true;
      this.#leaving.abort();
    }, wait);
  }
}

/** The copy and its position. It checks and applies streams, one after the other. */
class Replica {
  token = null;
  #store;
  #told;
  #loading = false;
  #copy;
  #revision;
  // The last applied commit that matched. The next commit must name it.
  #lastCommit;
  #opened;
  // Pages that are not complete yet: of the state, with their rows, or of a commit.
  #collected;
  #incoming;

  constructor(store, { onState = () => {}, onCommit = () => {}, onPosition = () => {} }) {
    this.#store = store;
    this.#told = { onState, onCommit, onPosition };
    this.startOver();
  }

  async load() {
    this.#loading = true;
    for (const bytes of await this.#store.load()) await this.take(fromBinary(SubscribeResponseSchema, bytes));
    this.#loading = false;
    if (this.token) this.#told.onPosition(this.#revision);
  }

  startOver() {
    this.token = null;
    this.#copy = new Copy();
    [this.#revision, this.#lastCommit, this.#opened] = [0n, 0n, null];
    this.beginStream();
  }

  /** Drops what was incomplete when the last stream ended: the server sends it again from its beginning. */
  beginStream() {
    this.#collected = [];
    this.#incoming = new Copy();
  }

  async take(response) {
    const { case: kind, value: message } = response.body;
    if (kind === "opened") this.#takeOpened(message, response);
    else if (kind === "snapshotPage") {
      this.#incoming.addPage(message);
      this.#collected.push(response);
    } else if (kind === "snapshotEnd") await this.#takeSnapshotEnd(message, response);
    else if (kind === "commitPage") await this.#takeCommitPage(message, response);
    else if (kind === "progress") await this.#takeProgress(message, response);
    // `lag` and `goodbye` do not change the copy. A message of a kind that this client does not know is ignored.
  }

  #takeOpened(opened, response) {
    if (!this.token) {
      this.#opened = opened;
      this.#collected.push(response);
      return;
    }
    // The server refuses a token of another history. The client checks it all the same.
    expect(opened.historyId === this.#opened.historyId, "Resumable", "the server's history is another one");
    expect(opened.startRevision === this.#revision, "Resumable",
      `had everything to ${this.#revision}, resumed at ${opened.startRevision}`);
    // Ids hold no blanks.
    if (opened.leftOutSources.join(" ") !== this.#opened.leftOutSources.join(" ")) {
      throw new StartOver("licences of sources changed");
    }
  }

  async #takeSnapshotEnd(end, response) {
    const copy = this.#incoming;
    const digest = await copy.digest();
    // This proves that no row is missing and none came twice.
    expect(end.rowCount === BigInt(copy.size) && end.digest === digest, "Reliable",
      `${end.rowCount} rows with digest ${end.digest} sent, ${copy.size} with ${digest} arrived`);
    await this.#keep("replace", [...this.#collected, response]);
    this.#copy = copy;
    this.#lastCommit = 0n;
    if (!this.#loading) await this.#told.onState(copy, end.revision);
    this.#moved(end.revision, end.resumeToken);
  }

  async #takeCommitPage(page, response) {
    expect(page.page === this.#collected.length, "Reliable", `page ${page.page} of revision ${page.revision}`);
    if (page.page === 0) {
      expect(page.revision > this.#revision, "Ordered", `revision ${page.revision} after ${this.#revision}`);
      expect(page.prevMatchingRevision === this.#lastCommit, "Chained",
        `revision ${page.revision} follows ${page.prevMatchingRevision}, we have ${this.#lastCommit}`);
    } else {
      const first = this.#collected[0].body.value.revision;
      expect(page.revision === first, "Atomic", `revision ${page.revision} within ${first}`);
    }
    this.#collected.push(response);
    if (!page.lastPage) return;
    // Only now is the commit complete: the store takes it together with its token.
    const pages = this.#collected.map(({ body }) => body.value);
    const changes = pages.flatMap((one) => one.changes);
    for (const change of changes) this.#copy.apply(change);
    await this.#keep("append", this.#collected);
    this.#lastCommit = page.revision;
    if (!this.#loading) await this.#told.onCommit(pages[0].commit, changes, this.#copy);
    this.#moved(page.revision, page.resumeToken);
  }

  async #takeProgress(progress, response) {
    expect(this.#collected.length === 0, "Atomic", `progress ${progress.revision} within a commit`);
    if (progress.revision <= this.#revision) return;
    await this.#keep("append", [response]);
    this.#moved(progress.revision, progress.resumeToken);
  }

  async #keep(how, responses) {
    if (this.#loading) return;
    await this.#store[how](responses.map((response) => toBinary(SubscribeResponseSchema, response)));
  }

  #moved(revision, token) {
    [this.#revision, this.token] = [revision, token];
    this.beginStream();
    if (!this.#loading) this.#told.onPosition(revision);
  }
}
