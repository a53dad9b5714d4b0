// follow.mjs at work outside a page: Node's own `fetch` speaks to the server as a browser does, by gRPC-Web over HTTP/1.1.
//
//     node examples/web/watch.mjs [--server URL] [--state-file FILE] [--ranking ID]... [--until REVISION]

import fs from "node:fs";
import { parseArgs } from "node:util";
import { follow } from "./follow.mjs";
import { Cause } from "./gen/almanac/v1/types_pb.js";

/** A store that only remembers its place, in a file; to apply means to print. A page has its database here. */
class Printed {
  #file;
  #place = null;
  /** Called with each new place. */
  moved = () => {};

  constructor(file) {
    this.#file = file;
    const revive = (key, value) => (key === "revision" || key === "lastCommit" ? BigInt(value) : value);
    if (fs.existsSync(file)) this.#place = JSON.parse(fs.readFileSync(file, "utf8"), revive);
  }

  place() {
    return this.#place;
  }

  state(rows, place) {
    console.log(`state at revision ${place.revision}: ${rows.length} rows`);
    this.progress(place);
  }

  commit(commit, changes, place) {
    const cause = (Cause[commit.cause] ?? String(commit.cause)).toLowerCase().replaceAll("_", " ");
    console.log(`revision ${commit.revision} (${cause}): ${changes.length} changes`);
    this.progress(place);
  }

  /** Old or new, never half. */
  progress(place) {
    const text = JSON.stringify(place, (_, value) => (typeof value === "bigint" ? String(value) : value));
    fs.writeFileSync(`${this.#file}.new`, text, { flush: true });
    fs.renameSync(`${this.#file}.new`, this.#file);
    this.#place = place;
    this.moved(place);
  }
}

const { values: options } = parseArgs({
  options: {
    server: { type: "string", default: "http://127.0.0.1:50051" },
    "state-file": { type: "string", default: "almanac-watch.json" },
    ranking: { type: "string", multiple: true, default: [] },
    until: { type: "string" },
  },
});
const filters = options.ranking.length ? [{ rankings: options.ranking }] : [];
const store = new Printed(options["state-file"]);
const leaving = new AbortController();
if (options.until !== undefined) {
  store.moved = ({ revision }) => revision >= BigInt(options.until) && leaving.abort();
  if (store.place()) store.moved(store.place());
}
try {
  await follow(options.server, store, { filters, signal: leaving.signal });
} catch (error) {
  console.error(`watch: ${error.message}`);
  process.exitCode = 1;
}
// Node 20 may hold on to the connection of a stream that was left; a page would not notice.
process.exit();
