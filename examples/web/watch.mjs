// Runs follow.mjs outside a page. Node's own `fetch` speaks to the server as a browser does: gRPC-Web over HTTP/1.1.
//
//     node examples/web/watch.mjs [--server URL] [--state-file FILE] [--ranking ID]... [--interval SECONDS] [--until REVISION]

import fs from "node:fs";
import { parseArgs } from "node:util";
import { follow } from "./follow.mjs";
import { Cause } from "./gen/almanac/v1/types_pb.js";

/** The messages that made a copy in a file, one a line. Each write ends with an empty line. A page uses its database instead. */
class FileStore {
  #path;

  constructor(path) {
    this.#path = path;
  }

  load() {
    if (!fs.existsSync(this.#path)) return [];
    // A last write without its end was cut off by a crash.
    const text = fs.readFileSync(this.#path, "latin1");
    const end = text.lastIndexOf("\n\n");
    const whole = end < 0 ? "" : text.slice(0, end + 2);
    fs.truncateSync(this.#path, whole.length);
    return whole.split("\n").filter((line) => line !== "").map((line) => Buffer.from(line, "base64"));
  }

  append(messages) {
    fs.appendFileSync(this.#path, lines(messages), { flush: true });
  }

  replace(messages) {
    fs.writeFileSync(`${this.#path}.new`, lines(messages), { flush: true });
    fs.renameSync(`${this.#path}.new`, this.#path);
  }
}

function lines(messages) {
  return messages.map((bytes) => `${Buffer.from(bytes).toString("base64")}\n`).join("") + "\n";
}

const { values: options } = parseArgs({
  options: {
    server: { type: "string", default: "http://127.0.0.1:50051" },
    "state-file": { type: "string", default: "almanac-watch.state" },
    ranking: { type: "string", multiple: true, default: [] },
    interval: { type: "string", default: "1" },
    until: { type: "string" },
  },
});
const leaving = new AbortController();
const hex = async (copy) => (await copy.digest()).toString(16).padStart(16, "0");
try {
  await follow(options.server, new FileStore(options["state-file"]), {
    filters: options.ranking.length ? [{ rankings: options.ranking }] : [],
    interval: Number(options.interval) * 1000,
    signal: leaving.signal,
    async onState(copy, revision) {
      console.log(`state at revision ${revision}: ${copy.size} rows, digest ${await hex(copy)}`);
    },
    async onCommit({ revision, cause }, changes, copy) {
      const why = (Cause[cause] ?? String(cause)).toLowerCase().replaceAll("_", " ");
      console.log(`revision ${revision} (${why}), digest ${await hex(copy)}: ${changes.length} changes`);
    },
    onPosition(revision) {
      if (options.until !== undefined && revision >= BigInt(options.until)) leaving.abort();
    },
  });
} catch (error) {
  console.error(`watch: ${error.message}`);
  process.exitCode = 1;
}
// Node 20 may keep the connection of a cancelled stream open, and would not exit. A page has no such problem.
process.exit();
