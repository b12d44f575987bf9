import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode, encode } from "../../serve_app/ingress/web/client/msgpack.js";

const golden = JSON.parse(readFileSync(new URL("../protocol/golden.json", import.meta.url)));

/** Binary values are maps with the one key `bytes`. */
function fields(entry) {
  const values = Object.entries(entry.fields).map(([name, value]) => [
    name,
    value?.bytes === undefined ? value : new Uint8Array(Buffer.from(value.bytes, "hex")),
  ]);
  return Object.fromEntries(values);
}

test("messages from the server are read", () => {
  const entries = golden.filter((entry) => entry.from === "server");
  assert.equal(entries.length, 17);
  for (const entry of entries) {
    const found = decode(new Uint8Array(Buffer.from(entry.frame, "hex")));
    if (found.audio) found.audio = new Uint8Array(found.audio);
    assert.deepEqual(found, fields(entry));
  }
});

test("messages to the server have the bytes that Python's have", () => {
  const entries = golden.filter((entry) => entry.from === "client");
  assert.equal(entries.length, 17);
  for (const entry of entries) {
    assert.equal(Buffer.from(encode(fields(entry))).toString("hex"), entry.frame);
  }
});

test("what is written is read again", () => {
  const values = [
    null, true, false, 0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1,
    -1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, 0.1, -1.5e300, Infinity,
    "", "a".repeat(31), "a".repeat(32), "a".repeat(256), "a".repeat(65536), [], [[1], [[]]],
    Array(16).fill(1), Array(65536).fill(0), {}, { a: { b: [1] } },
    Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, i])),
  ];
  for (const value of values) assert.deepEqual(decode(encode(value)), value);
  assert.ok(Number.isNaN(decode(encode(NaN))));
  for (const size of [0, 255, 256, 65535, 65536]) {
    assert.deepEqual(decode(encode(new Uint8Array(size).fill(7))), new Uint8Array(size).fill(7));
  }
});

test("keys without a value are left out", () => {
  assert.deepEqual(decode(encode({ a: undefined, b: null })), { b: null });
});

test("damaged bytes are refused, whatever they are", () => {
  assert.throws(() => decode(new Uint8Array([])), RangeError);
  assert.throws(() => decode(new Uint8Array([0xc1])), RangeError);
  assert.throws(() => decode(new Uint8Array([1, 2])), /follow/);
  const whole = encode({ type: "token", token: "abcdefgh", numbers: [1.5, 70000] });
  for (let size = 0; size < whole.length; size++) {
    assert.throws(() => decode(whole.slice(0, size)), RangeError);
  }
});
