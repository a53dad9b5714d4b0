// A copy of the state of Almanac that the changes of the feed keep up to date, and its digest (version 2). It uses nothing of Node.
//
// It follows the rules of `docs/feed.md`.

import { create, equals, ScalarType } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { ChangeScope, DefinitionSchema, EditionSchema, ObservationSchema } from "./gen/almanac/v1/types_pb.js";
import { StateEntrySchema } from "./gen/almanac/v1/feed_service_pb.js";

export const DIGEST_VERSION = 2;

// The fields of digest version 2, by message, in the order of the digest. A field that the contract adds later is not part of it.
const DIGEST_FIELDS = {
  Observation: "indicator entity source dimensions period value released recorded revision cause",
  Dimension: "id value",
  Value: "number decimals exact multiplier_pow10 qualifier upper status missing comment",
  Timestamp: "seconds nanos",
  Edition: "ranking id title status basis about coverage methodology released source note entry_count revision recorded " +
    "compared_with",
  Coverage: "kind listed universe complete_to",
  StateEntry: "ranking edition entry",
  Entry: "entity published_name economies rank tied score components previous disputed note",
  EntryComponent: "id raw score rank data_year",
  RankClaim: "rank edition claimed_by",
  Definition: "indicator entity source ranking methodology",
  Indicator: "id name unit direction default_decimals definition frequency licence timing",
  Entity: "id kind name codes names relations",
  EntityCode: "scheme value",
  EntityName: "text language valid_from valid_to",
  EntityRelation: "kind entity valid_from valid_to",
  Source: "id producer title published url licence redistribution precedence",
  Ranking: "id name subject source description",
  Methodology: "id description components aggregation",
  MethodologyComponent: "id name weight direction parent aggregation",
};
const SCHEMAS = { figure: ObservationSchema, edition: EditionSchema, entry: StateEntrySchema, definition: DefinitionSchema };
const LETTERS = { figure: "F", edition: "R", entry: "E", definition: "D" };
const encoder = new TextEncoder();

function withLength(text) {
  // Most text is ASCII, with as many bytes as characters.
  const length = /^[\0-\x7f]*$/.test(text) ? text.length : encoder.encode(text).length;
  return `${length}:${text}`;
}

function itemText(kind, scalar, value) {
  if (kind === "message") return messageText(value);
  if (typeof value === "boolean") return value ? "1" : "0";
  if (kind === "scalar" && scalar === ScalarType.DOUBLE) {
    const bits = new DataView(new ArrayBuffer(8));
    bits.setFloat64(0, value);
    return bits.getBigUint64(0).toString(16).padStart(16, "0");
  }
  return String(value);
}

function fieldText(message, field) {
  if (!message.isSet(field)) return "";
  const value = message.get(field);
  if (field.fieldKind !== "list") return itemText(field.fieldKind, field.scalar, value);
  return [...value].map((item) => withLength(itemText(field.listKind, field.scalar, item))).join("");
}

function messageText(message) {
  return DIGEST_FIELDS[message.desc.name].split(" ")
    .map((name) => withLength(fieldText(message, message.desc.fields.find((field) => field.name === name))))
    .join("");
}

/** What a row adds to the digest of the state. Kinds are named as in `StateRow`. Browsers hash only in a secure context. */
export async function rowDigest(kind, row) {
  const text = LETTERS[kind] + messageText(reflect(SCHEMAS[kind], row));
  const hashed = await crypto.subtle.digest("SHA-256", encoder.encode(text));
  return new DataView(hashed).getBigUint64(0, true);
}

/** The server broke a promise of the contract. */
export class BrokenPromise extends Error {}

/** The server sent something that this client is too old to know, so the copy could become wrong. */
export class UnknownKind extends Error {}

export function expect(holds, promise, seen) {
  if (!holds) throw new BrokenPromise(`the server broke the promise ${promise}: ${seen}`);
}

/** The key of a row. Ids hold no blanks. */
function keyOf(kind, row) {
  if (kind === "figure") {
    const dimensions = row.dimensions.map(({ id, value }) => `${id}=${value}`).join(";");
    return [kind, row.indicator, row.entity, row.source, dimensions, row.period].join(" ");
  }
  if (kind === "edition") return [kind, row.ranking, row.id].join(" ");
  if (kind === "entry") return [kind, row.ranking, row.edition, row.entry.entity].join(" ");
  if (!row.item.case) throw new UnknownKind("a definition of an unknown kind");
  return [kind, row.item.case, row.item.value.id].join(" ");
}

/** The kind and key of a change, and its row before and after the change; undefined if there is none. */
function sides({ case: about, value: detail }) {
  if (!about) throw new UnknownKind("a change of an unknown kind");
  const { before, after } = detail;
  if (about === "entry") {
    // A row of the state names the edition of its entry.
    const { ranking, edition, entity } = detail;
    const inState = (entry) => entry && create(StateEntrySchema, { ranking, edition, entry });
    return { kind: "entry", key: ["entry", ranking, edition, entity].join(" "), before: inState(before), after: inState(after) };
  }
  const kind = about === "value" ? "figure" : about;
  // A figure that was backfilled behind "no figure" has neither side.
  return { kind, key: keyOf(kind, after ?? before ?? detail.recordedVersion), before, after };
}

/** The rows of the state by their keys, and the digest of all rows. */
export class Copy {
  #rows = new Map();
  #digest = 0n;
  // Digests that are still being computed.
  #added = [];
  #removed = [];

  get size() {
    return this.#rows.size;
  }

  async digest() {
    for (const digest of await Promise.all(this.#added)) this.#digest += digest;
    for (const digest of await Promise.all(this.#removed)) this.#digest -= digest;
    [this.#added, this.#removed] = [[], []];
    this.#digest = BigInt.asUintN(64, this.#digest);
    return this.#digest;
  }

  #put(kind, key, row) {
    this.#remove(key);
    const digest = rowDigest(kind, row);
    this.#rows.set(key, { row, digest });
    this.#added.push(digest);
  }

  #remove(key) {
    const held = this.#rows.get(key);
    if (!held) return;
    this.#rows.delete(key);
    this.#removed.push(held.digest);
  }

  addPage(page) {
    for (const { item: { case: kind, value: row } } of page.rows) {
      if (!kind) throw new UnknownKind("a row of an unknown kind");
      const key = keyOf(kind, row);
      expect(!this.#rows.has(key), "Unique", `${key} twice in the state`);
      this.#put(kind, key, row);
    }
  }

  /** Applies a change as its scope demands. First it checks that the copy has the row that the change has as before. */
  apply({ scope, detail }) {
    const { kind, key, before, after } = sides(detail);
    const held = this.#rows.get(key)?.row;
    const same = () => before && equals(SCHEMAS[kind], held, before);
    if (scope === ChangeScope.ENTERED) {
      expect(!held && after, "Filtered", `${key} entered, and is here already or not sent`);
      this.#put(kind, key, after);
    } else if (scope === ChangeScope.CHANGED) {
      expect(held && after, "Filtered", `${key} changed, and is not here or not sent`);
      expect(same(), "Before-true", `${key} was another row than we have`);
      this.#put(kind, key, after);
    } else if (scope === ChangeScope.LEFT) {
      expect(held, "Filtered", `${key} left, and is not here`);
      expect(same(), "Before-true", `${key} was another row than we have`);
      this.#remove(key);
    } else if (scope === ChangeScope.OUTSIDE) {
      expect(!held, "Filtered", `${key} is outside, and is here`);
    } else {
      throw new UnknownKind(`a change of scope ${scope}`);
    }
  }
}
