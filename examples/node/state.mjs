// A copy of the state of Almanac that the changes of the feed keep up to date, and its digest (version 2).
//
// It follows the rules of `docs/feed.md`.

import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { typeNamed } from "./almanac.mjs";

export const DIGEST_VERSION = 2;

// The fields of digest version 2, by message, in the order of the digest; `?` where 0 differs from unset. A field that the
// contract adds later is not part of it.
const DIGEST_FIELDS = {
  Observation: "indicator entity source dimensions period value released recorded revision cause",
  Dimension: "id value",
  Value: "number? decimals? exact multiplier_pow10 qualifier upper? status missing comment",
  Timestamp: "seconds nanos",
  Edition: "ranking id title status basis about coverage methodology released source note entry_count revision recorded " +
    "compared_with",
  Coverage: "kind listed universe complete_to",
  StateEntry: "ranking edition entry",
  Entry: "entity published_name economies rank? tied score components previous disputed note",
  EntryComponent: "id raw score rank? data_year",
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
  MethodologyComponent: "id name weight? direction parent aggregation",
};

/** For each message, how to write each of its fields as text. */
const writers = Object.fromEntries(Object.entries(DIGEST_FIELDS).map(([message, fields]) => {
  const described = typeNamed(message === "Timestamp" ? "google.protobuf.Timestamp" : message).type.field;
  return [message, fields.split(" ").map((written) => {
    const name = written.replace("?", "");
    const field = described.find((one) => one.name === name);
    const presence = written.endsWith("?") ? `_${name}` : undefined;
    return { name, presence, isText: field.type === "TYPE_STRING", item: itemWriter(field) };
  })];
}));

function itemWriter({ type, typeName }) {
  const named = typeName.split(".").pop();
  if (type === "TYPE_MESSAGE") return (value) => messageText(named, value);
  if (type === "TYPE_ENUM") {
    const numbers = new Map(typeNamed(named).type.value.map(({ name, number }) => [name, number]));
    return (value) => String(numbers.get(value) ?? value);
  }
  if (type === "TYPE_DOUBLE") {
    return (value) => {
      const bits = Buffer.alloc(8);
      bits.writeDoubleBE(value);
      return bits.toString("hex");
    };
  }
  if (type === "TYPE_BOOL") return (value) => (value ? "1" : "0");
  return String;
}

function withLength(text) {
  return `${Buffer.byteLength(text)}:${text}`;
}

function fieldText({ name, presence, isText, item }, message) {
  const value = message[name];
  if (Array.isArray(value)) return value.map((one) => withLength(item(one))).join("");
  if (value === null || value === undefined) return "";
  if (presence) return message[presence] ? item(value) : "";
  const text = item(value);
  // For these fields, 0 is the same as unset.
  return text === "0" && !isText ? "" : text;
}

function messageText(type, message) {
  return writers[type].map((field) => withLength(fieldText(field, message))).join("");
}

const LETTERS = { figure: "F", edition: "R", entry: "E", definition: "D" };
const MESSAGES = { figure: "Observation", edition: "Edition", entry: "StateEntry", definition: "Definition" };

/** What a row adds to the digest of the state. Kinds are named as in `StateRow`. */
export function rowDigest(kind, row) {
  const text = LETTERS[kind] + messageText(MESSAGES[kind], row);
  return createHash("sha256").update(text).digest().readBigUInt64LE(0);
}

/** The server broke a promise of the contract. */
export class BrokenPromise extends Error {}

/** The server sent something that this client is too old to know, so the copy could become wrong. */
export class UnknownKind extends Error {}

export function expect(holds, promise, seen) {
  if (!holds) throw new BrokenPromise(`${promise}: ${seen}`);
}

/** The key of a row. Ids hold no blanks. */
function keyOf(kind, row) {
  if (kind === "figure") {
    const dimensions = row.dimensions.map(({ id, value }) => `${id}=${value}`).join(";");
    return [kind, row.indicator, row.entity, row.source, dimensions, row.period].join(" ");
  }
  if (kind === "edition") return [kind, row.ranking, row.id].join(" ");
  if (kind === "entry") return [kind, row.ranking, row.edition, row.entry.entity].join(" ");
  if (!row.item) throw new UnknownKind("a definition of an unknown kind");
  return [kind, row.item, row[row.item].id].join(" ");
}

/** The kind and key of a change, and its row before and after the change; null if there is none. */
function sides(change) {
  const detail = change[change.detail];
  if (!detail) throw new UnknownKind("a change of an unknown kind");
  const { before, after } = detail;
  if (change.detail === "entry") {
    // A row of the state names the edition of its entry.
    const { ranking, edition, entity } = detail;
    const inState = (entry) => entry && { ranking, edition, entry };
    return { kind: "entry", key: ["entry", ranking, edition, entity].join(" "), before: inState(before), after: inState(after) };
  }
  const kind = change.detail === "value" ? "figure" : change.detail;
  // A figure that was backfilled behind "no figure" has neither side.
  return { kind, key: keyOf(kind, after ?? before ?? detail.recorded_version), before, after };
}

/** The rows of the state by their keys, and the digest of all rows. */
export class Copy {
  rows = new Map();
  digest = 0n;

  put(kind, key, row) {
    this.remove(kind, key);
    this.rows.set(key, row);
    this.digest = BigInt.asUintN(64, this.digest + rowDigest(kind, row));
  }

  remove(kind, key) {
    const row = this.rows.get(key);
    if (!row) return;
    this.rows.delete(key);
    this.digest = BigInt.asUintN(64, this.digest - rowDigest(kind, row));
  }

  addPage(page) {
    for (const row of page.rows) {
      const kind = row.item;
      if (!kind) throw new UnknownKind("a row of an unknown kind");
      const key = keyOf(kind, row[kind]);
      expect(!this.rows.has(key), "Unique", `${key} twice in the state`);
      this.put(kind, key, row[kind]);
    }
  }

  /** Applies a change as its scope demands. First it checks that the copy has the row that the change has as before. */
  apply(change) {
    const { kind, key, before, after } = sides(change);
    const held = this.rows.get(key);
    const { scope } = change;
    if (scope === "CHANGE_SCOPE_ENTERED") {
      expect(!held && after, "Filtered", `${key} entered, and is here already or not sent`);
      this.put(kind, key, after);
    } else if (scope === "CHANGE_SCOPE_CHANGED") {
      expect(held && after, "Filtered", `${key} changed, and is not here or not sent`);
      expect(isDeepStrictEqual(held, before), "Before-true", `${key} was another row than we have`);
      this.put(kind, key, after);
    } else if (scope === "CHANGE_SCOPE_LEFT") {
      expect(held, "Filtered", `${key} left, and is not here`);
      expect(isDeepStrictEqual(held, before), "Before-true", `${key} was another row than we have`);
      this.remove(kind, key);
    } else if (scope === "CHANGE_SCOPE_OUTSIDE") {
      expect(!held, "Filtered", `${key} is outside, and is here`);
    } else {
      throw new UnknownKind(`a change of scope ${scope}`);
    }
  }
}
