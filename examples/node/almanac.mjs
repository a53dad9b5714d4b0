// What the examples in this folder share: the contract as the .proto files define it, errors, and the text of figures.

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
  bytes: String,
  defaults: true,
  oneofs: true,
});

/** The bytes of each answer. */
export const received = new WeakMap();
// Definitions without a `format` are services.
for (const service of Object.values(definition).filter((one) => !one.format)) {
  for (const method of Object.values(service)) {
    const read = method.responseDeserialize;
    method.responseDeserialize = (bytes) => {
      const answer = read(bytes);
      received.set(answer, bytes);
      return answer;
    };
  }
}

/** The definition of a message or enum, by its name in the contract. */
export function typeNamed(name) {
  return definition[name] ?? definition[`almanac.v1.${name}`];
}

const contract = grpc.loadPackageDefinition(definition).almanac.v1;

// The parts of error details that the examples read.
const errors = loader.fromJSON({
  nested: {
    google: {
      nested: {
        rpc: {
          nested: {
            Status: { fields: { details: { rule: "repeated", type: "Detail", id: 3 } } },
            Detail: { fields: { type_url: { type: "string", id: 1 }, value: { type: "bytes", id: 2 } } },
            ErrorInfo: { fields: { reason: { type: "string", id: 1 }, domain: { type: "string", id: 2 } } },
            RetryInfo: { fields: { retry_delay: { type: "Delay", id: 1 } } },
            Delay: { fields: { seconds: { type: "int64", id: 1 }, nanos: { type: "int32", id: 2 } } },
          },
        },
      },
    },
  },
}, { keepCase: true, longs: Number, defaults: true });

/** The reason of an error and the milliseconds to wait. An error of a proxy or of the library has no reason. */
export function detailsOf(error) {
  let reason;
  let wait;
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const { details } = packed ? errors["google.rpc.Status"].deserialize(packed) : { details: [] };
  for (const { type_url: url, value } of details) {
    if (url.endsWith("/google.rpc.ErrorInfo")) {
      const info = errors["google.rpc.ErrorInfo"].deserialize(value);
      if (info.domain === "almanac") reason = info.reason;
    } else if (url.endsWith("/google.rpc.RetryInfo")) {
      const { retry_delay: delay } = errors["google.rpc.RetryInfo"].deserialize(value);
      wait = delay.seconds * 1000 + delay.nanos / 1e6;
    }
  }
  return { reason, wait: reason && wait };
}

const OPTIONS = {
  // Otherwise two clients of one address share a connection, even a dead one.
  "grpc.use_local_subchannel_pool": 1,
  // The library pings a silent connection, because it may be dead.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 5_000,
  // The channel has a back-off of its own. Keep it short: the caller waits.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
};

/** A client of one service, for example `RankingService`. */
export function client(service, server) {
  return new contract[service](server, grpc.credentials.createInsecure(), OPTIONS);
}

/** A unary call as a promise. It has a deadline, because a call without one may wait for ever. */
export function call(client, method, request, metadata = new grpc.Metadata()) {
  const deadline = Date.now() + 30_000;
  return new Promise((resolve, reject) =>
    client[method](request, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer))));
}

/** A number with as many decimals as it was published with. */
export function digits(number, decimals) {
  // From 1e21 on, `toFixed` writes an exponent.
  if (Math.abs(number) >= 1e21) return BigInt(number).toString() + (decimals ? "." + "0".repeat(decimals) : "");
  // `toFixed` drops the sign of a negative zero, and a rounded "-0.0" is published with it.
  return (Object.is(number, -0) ? "-" : "") + number.toFixed(decimals);
}

/** The published text of a value, digit by digit; `missing` where there is none. */
export function numberText(value) {
  if (value.exact) return value.exact;
  return value._number ? digits(value.number, value.decimals ?? 0) : "missing";
}
