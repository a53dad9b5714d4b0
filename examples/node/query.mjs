// Asks Almanac for a ranking, for a figure at two points of history, and for a figure that sources disagree about.
//
// Once: `npm ci` in this folder. Then, while `almanac serve --sample-data` runs:
//
//     node examples/node/query.mjs [--server HOST:PORT]

import { parseArgs } from "node:util";
import { call, client, digits, numberText } from "./almanac.mjs";

const { values: options } = parseArgs({ options: { server: { type: "string", default: "127.0.0.1:50051" } } });
const rankings = client("RankingService", options.server);
const figures = client("StatisticsService", options.server);

/** The figure as it was published, with its qualifier. */
function text(value) {
  let number = numberText(value);
  if (number === "missing") return number;
  if (value.qualifier === "QUALIFIER_RANGE") number += ` to ${digits(value.upper, value.decimals)}`;
  const before = { QUALIFIER_APPROXIMATE: "about ", QUALIFIER_AT_LEAST: "at least ", QUALIFIER_AT_MOST: "at most " };
  const power = value.multiplier_pow10 ? ` x 10^${value.multiplier_pow10}` : "";
  return (before[value.qualifier] ?? "") + number + power;
}

// A page may have fewer rows than the request asks for; ten rows fit in one page.
const top = await call(rankings, "ListEntries", { ranking: "gii-clusters", edition: "2025", page_size: 10 });
const { edition } = top;
console.log(`${edition.title || edition.ranking}, edition ${edition.id}, answered at revision ${top.revision}`);
for (const entry of top.entries) {
  // The rank may be unset: the edition lists the entity, and its rank is unknown.
  const place = entry._rank ? String(entry.rank) : "?";
  console.log(`${place.padStart(4)}  ${entry.published_name} (${entry.economies.join("/")})`);
}

// The same figure at two points of history. `released` asks for what the producer had published by that day.
console.log("\nR&D spending of China in 2015, % of GDP (GB.XPD.RSDV.GD.ZS)");
for (const [name, as_of] of [["now", undefined], ["as of 2018-12-31", { released: "2018-12-31" }]]) {
  const request = { indicator: "GB.XPD.RSDV.GD.ZS", entity: "CHN", period: "2015", as_of };
  const { selected } = await call(figures, "GetFigure", request);
  console.log(`  ${name}: ${text(selected.value)} (released ${selected.released} by ${selected.source})`);
}

// Almanac never merges sources. The policy chooses the one that answers; the others are alternatives.
const patents = { indicator: "CN.PAT.VALID.ENTERPRISE", entity: "CHN", period: "2025-06" };
const answer = await call(figures, "GetFigure", patents);
console.log(`\nInvention patents held by Chinese enterprises, June 2025, ${answer.unit} (policy ${answer.policy})`);
console.log(`  selected: ${text(answer.selected.value)} (${answer.selected.source})`);
for (const other of answer.alternatives) console.log(`  also said: ${text(other.value)} (${other.source})`);
const apart = answer.disagreement;
if (apart?.compared > 1) {
  // The server has applied the multipliers: these are plain numbers, whatever unit each source printed.
  const spread = Math.round(apart.spread).toLocaleString("en-US");
  console.log(`  they differ by ${spread} (${(apart.relative_spread * 100).toFixed(2)}%)`);
}
if (apart?.not_comparable) {
  console.log(`  ${apart.not_comparable} of them only bounds the figure, or is missing: not compared`);
}

rankings.close();
figures.close();
