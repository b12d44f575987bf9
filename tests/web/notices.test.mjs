import assert from "node:assert/strict";
import { test } from "node:test";

import { aboutCode } from "../../serve_app/ingress/web/page/notices.js";

test("what the server refuses is said in the server's words", () => {
  const reasons = {
    1013: "answers take 7 s now: try again in 30 s",
    4400: "open: 'turn' must be a map",
    4401: "this key has expired: ask whoever runs the server for another one",
    4402: "this address has 3 connections: end one first",
    4403: "pages of http://voice.lan:4000 may not connect: list it in args.access.origins",
  };
  for (const [code, reason] of Object.entries(reasons)) {
    assert.ok(aboutCode(Number(code), reason).advice.includes(reason), code);
  }
});

test("an end that was wanted is no notice", () => {
  assert.equal(aboutCode(1000, ""), null);
});
