// Keeps a copy of the state of Almanac in a page of a browser: misses no change, repeats none, and goes on after a crash of
// either side. Nothing here is Node's: a bundler puts it into a page as it is.
//
// A commit is applied whole, at its last page; the token is stored with it; a connection that is silent for too long is given up;
// a broken stream is resumed after a growing, random wait; the chain of commits, each change and the digest are verified.
//
// Once: `npm ci` and `npm run generate` in this folder. Then:
//
//     import { follow } from "./follow.mjs";
//     await follow("http://127.0.0.1:50051", store, { onState, onCommit });
//
// `store` keeps the messages that made the copy, for example in IndexedDB under growing numbers. Each of its functions does all
// it is given or nothing, in one transaction: then a crash between the two cannot lose or repeat a commit.
//
//     load()             all messages in order, bytes each
//     replace(messages)  these in place of all that is there
//     append(messages)   these after what is there

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { FeedService, GoodbyeReason, SubscribeResponseSchema } from "./gen/almanac/v1/feed_service_pb.js";
import { Copy, DIGEST_VERSION, expect } from "./state.mjs";

// Reasons of errors that are about the token itself: the copy begins anew with the state. A token ahead of the server is not
// among them: the server catches up.
const START_OVER = new Set(["TOKEN_MALFORMED", "TOKEN_OUTDATED", "TOKEN_OTHER_HISTORY", "BELOW_FLOOR"]);
// Almanac itself says with one of these that the request can never work.
const HOPELESS = new Set([
  Code.InvalidArgument, Code.FailedPrecondition, Code.OutOfRange, Code.NotFound, Code.PermissionDenied,
  Code.Unauthenticated, Code.Unimplemented, Code.DataLoss,
]);
const MISSED_INTERVALS = 3;
// Until the stream opens: connecting takes time, and a server may wait 2 s for the revision of a token.
const OPENING_MS = 5_000;
const LONGEST_WAIT_MS = 10_000;

/** The copy cannot go on from where it is. */
class StartOver extends Error {}

/** A client of one service by gRPC-Web, which is what a browser can speak. */
export function clientOf(service, server) {
  return createClient(service, createGrpcWebTransport({ baseUrl: server }));
}

/**
 * Keeps the copy until `signal` is aborted. `interval` is the progress interval in milliseconds: three in silence are a dead
 * connection. A token belongs to its filters: with others, the server refuses it.
 *
 * `onState(copy, revision)` and `onCommit(commit, changes, copy)` are told of what was stored; `onPosition(revision)` of how far
 * the copy is.
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
          // The server ends the stream and says when to come back. What is stored is as good as its token.
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
      // Doubling waits, each drawn evenly from zero to its bound: pages of a server that went away come back spread out.
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

/** Reason and milliseconds to wait of an error of Almanac itself; a proxy or the library gives none. */
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

/** The fields of an encoded message by their numbers; only what the two details above hold. */
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
 * Aborts a call of which no message came for too long. It runs only while the page waits for a message: one that is busy applying
 * is not a silent server. Nothing else notices: a browser keeps a dead connection for many minutes.
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

/** The copy, and where it is. Checks and applies streams, one after the other. */
class Replica {
  token = null;
  #store;
  #told;
  #loading = false;
  #copy;
  #revision;
  // The last commit applied that matched: what the chain of the next one must name.
  #lastCommit;
  #opened;
  // What is not complete yet: pages of the state with their rows, or of a commit.
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

  /** What was not complete when the last stream ended comes again from its beginning. */
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
    // `lag` and `goodbye` change no copy. A kind of message that this client does not know is an unknown field: ignored.
  }

  #takeOpened(opened, response) {
    if (!this.token) {
      this.#opened = opened;
      this.#collected.push(response);
      return;
    }
    // The server refuses a token of another history itself; this is the client's own proof.
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
    // Proof that nothing is missing and nothing came twice.
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
    // Only now is the commit whole: it goes into the store together with its token.
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
