// What both examples share: the contract, read from the .proto files, and the text of figures.

import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const PROTO = fileURLToPath(new URL("../../proto", import.meta.url));
const FILES = ["ranking_service", "statistics_service", "feed_service"].map((name) => `almanac/v1/${name}.proto`);
const definition = loader.loadSync(FILES, {
  includeDirs: [PROTO],
  keepCase: true,
  // Revisions and digests are 64-bit; a JavaScript number is exact only to 2^53.
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});

/** How long each answer was as it came, in bytes. */
export const lengths = new WeakMap();
// What is no message type is a service.
for (const service of Object.values(definition).filter((one) => !one.format)) {
  for (const method of Object.values(service)) {
    const read = method.responseDeserialize;
    method.responseDeserialize = (bytes) => {
      const answer = read(bytes);
      lengths.set(answer, bytes.length);
      return answer;
    };
  }
}
const contract = grpc.loadPackageDefinition(definition).almanac.v1;

const OPTIONS = {
  // A silent connection may be a dead one: ask, instead of waiting for ever.
  "grpc.keepalive_time_ms": 30_000,
  // The channel has a back-off of its own; the caller's decides.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
};

/** A client of one service, for example `RankingService`. */
export function client(service, server) {
  return new contract[service](server, grpc.credentials.createInsecure(), OPTIONS);
}

/** A unary call as a promise. Always with a deadline: a call without one may wait for ever. */
export function call(client, method, request, metadata = new grpc.Metadata()) {
  const deadline = Date.now() + 30_000;
  return new Promise((resolve, reject) =>
    client[method](request, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer))));
}

/** A number with the digits it was published with. */
export function digits(number, decimals) {
  // `toFixed` falls back to an exponent from 1e21 on.
  if (Math.abs(number) >= 1e21) return BigInt(number).toString() + (decimals ? "." + "0".repeat(decimals) : "");
  // `toFixed` drops the sign of a negative zero; a rounded "-0.0" was published with it.
  return (Object.is(number, -0) ? "-" : "") + number.toFixed(decimals);
}

/** The published text of a value, digit by digit; `missing` where there is none. */
export function numberText(value) {
  if (value.exact) return value.exact;
  return value._number ? digits(value.number, value.decimals ?? 0) : "missing";
}
