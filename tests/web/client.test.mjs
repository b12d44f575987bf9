import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { connect } from "../../serve_app/ingress/web/client/echo-serve.js";
import { decode, encode } from "../../serve_app/ingress/web/client/msgpack.js";
import { Backoff, mayComeBack, RecentAudio } from "../../serve_app/ingress/web/client/resumption.js";

/** The server's end of a socket. */
class FakeSocket {
  static all = [];
  static #waiting = [];
  readyState = 0;
  bufferedAmount = 0;
  sent = [];

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.all.push(this);
    FakeSocket.#waiting.shift()?.(this);
  }

  /** The next one that is opened. */
  static next() {
    return new Promise((done) => FakeSocket.#waiting.push(done));
  }

  send(frame) {
    assert.equal(this.readyState, 1, "it is open");
    this.sent.push(decode(frame));
  }

  close() {
    this.readyState = 2;
  }

  accept(...messages) {
    this.readyState = 1;
    this.onopen();
    this.says(...messages);
  }

  says(...messages) {
    for (const message of messages) this.onmessage({ data: encode(message) });
  }

  end(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }

  texts() {
    return this.sent.filter(({ type }) => type === "text").map(({ text }) => text);
  }

  samples() {
    const sent = this.sent.filter(({ type }) => type === "audio");
    return sent.flatMap(({ audio }) => [...new Float32Array(new Uint8Array(audio).buffer)]);
  }
}

const session = (token, heard_samples = 0, text_id = 0) => ({
  type: "session", resume_token: token, window_s: 60, heard_samples, text_id,
});
const stamped = (token, ...samples) => ({
  type: "audio",
  audio: new Uint8Array([...Buffer.from(token), ...new Uint8Array(Int16Array.from(samples).buffer)]),
});
const settled = () => new Promise((done) => setTimeout(done, 5));

async function conversation(options = {}) {
  const opened = FakeSocket.next();
  const connected = connect("ws://server/conversation", { WebSocket: FakeSocket, ...options });
  const socket = await opened;
  socket.accept(session("first"));
  return [await connected, socket];
}

beforeEach(() => {
  FakeSocket.all = [];
});

test("it opens with the options, in the words of the protocol", async () => {
  const [, socket] = await conversation({
    prompt: "Be kind.", greeting: false, language: "de", voice: "v", events: ["metrics"],
    turn: { interruptions: false },
  });
  assert.deepEqual(socket.sent[0], {
    type: "open", prompt: "Be kind.", events: ["metrics", "state", "goaway"], greeting: false,
    language: "de", voice: "v", sample_rate_hz: 24000, turn: { interruptions: false }, resume: true,
  });
});

test("what is not asked for is left out", async () => {
  const [, socket] = await conversation({ resume: false, sampleRateHz: 0, events: [] });
  assert.deepEqual(socket.sent[0], { type: "open", prompt: "", events: ["state", "goaway"] });
});

test("whoever listens after connecting misses nothing", async () => {
  const opened = FakeSocket.next();
  const connected = connect("ws://server", { WebSocket: FakeSocket });
  (await opened).accept(session("first"), { type: "token", token: "tokenone" },
    stamped("tokenone", 1, -2));
  const heard = [];
  (await connected).on("audio", (event) => heard.push(event));
  await settled();
  assert.equal(heard.length, 1);
  assert.deepEqual([...heard[0].samples], [1, -2]);
});

test("a refusal before the first message rejects with its code", async () => {
  const opened = FakeSocket.next();
  const connected = connect("ws://server", { WebSocket: FakeSocket });
  const socket = await opened;
  socket.accept();
  socket.end(1013, "all sessions are taken: try again later");
  await assert.rejects(connected, { code: 1013, message: /all sessions are taken/ });
});

test("audio of a reply that was interrupted is dropped", async () => {
  const [talk, socket] = await conversation();
  const heard = [];
  talk.on("audio", ({ token }) => heard.push(token));
  socket.says({ type: "token", token: "tokenone" }, stamped("tokenone", 1),
    { type: "interrupt", token: "tokentwo" }, stamped("tokenone", 2), stamped("tokentwo", 3));
  await settled();
  assert.deepEqual(heard, ["tokenone", "tokentwo"]);
  assert.equal(talk.staleChunks, 1);
});

test("a lost conversation goes on with what was not heard, once, and in order", async () => {
  const [talk, socket] = await conversation();
  const events = [];
  talk.on("*", ({ type }) => events.push(type));
  await settled();
  talk.played("tokenone", 250);
  talk.sendAudio(Float32Array.of(1, 2, 3, 4));
  const again = FakeSocket.next();
  socket.end(1006);
  talk.sendAudio(Float32Array.of(5, 6));
  talk.sendText("Are you there?");
  assert.equal(talk.status, "lost");
  const second = await again;
  second.accept();
  assert.deepEqual(second.sent, [{
    type: "open", resume_token: "first", played: { token: "tokenone", played_ms: 250 },
  }]);
  talk.sendAudio(Float32Array.of(7));
  second.says(session("second", 3));
  talk.sendAudio(Float32Array.of(8));
  assert.deepEqual(second.samples(), [4, 5, 6, 7, 8]);
  assert.deepEqual(second.texts(), ["Are you there?"]);
  assert.deepEqual([talk.status, talk.resumes], ["open", 1]);
  await settled();
  assert.deepEqual(events.filter((type) => type !== "session"), ["lost", "resumed"]);

  const third = FakeSocket.next();
  second.end(1012);
  const last = await third;
  last.accept();
  assert.equal(last.sent[0].resume_token, "second");
  last.says(session("third", 2));
  assert.deepEqual(last.samples(), [6, 7, 8], "counted from the audio of the second socket");
  talk.close();
});

test("a server that does not answer is asked again", async () => {
  const [talk, socket] = await conversation();
  const tries = [FakeSocket.next(), FakeSocket.next()];
  socket.end(1006);
  (await tries[0]).end(1006);
  (await tries[1]).accept(session("second"));
  assert.equal(talk.status, "open");
  talk.close();
});

test("after the last word it does not come back", async () => {
  for (const code of [1000, 4400, 4404, 4409, 4410]) {
    const [talk, socket] = await conversation();
    socket.end(code, "why");
    assert.deepEqual(await talk.closed, { code, reason: "why" });
    assert.equal(talk.status, "closed");
    assert.throws(() => talk.sendText("Hello?"), /is over/);
  }
});

test("a typed turn waits after goaway", async () => {
  const [talk, socket] = await conversation();
  socket.says({ type: "goaway", time_left_ms: 8000, final: false });
  talk.sendText("Later.");
  assert.deepEqual(socket.texts(), []);
  const again = FakeSocket.next();
  socket.end(1012);
  (await again).accept(session("second"));
  assert.deepEqual(FakeSocket.all.at(-1).texts(), ["Later."]);
  talk.close();
});

test("typed turns that the server has not taken are sent again, with their numbers", async () => {
  const [talk, socket] = await conversation();
  for (const text of ["one", "two", "three"]) talk.sendText(text);
  assert.deepEqual(socket.sent.slice(1).map(({ id }) => id), [1, 2, 3]);
  const again = FakeSocket.next();
  socket.end(1006);
  talk.sendText("four");
  const second = await again;
  second.accept(session("second", 0, 2));
  assert.deepEqual(second.texts(), ["three", "four"]);
  assert.deepEqual(second.sent.slice(1).map(({ id }) => id), [3, 4]);
  talk.close();
});

test("a session that has nearly had its time still takes what is typed", async () => {
  const [talk, socket] = await conversation();
  socket.says({ type: "goaway", time_left_ms: 60_000, final: true });
  talk.sendText("Quick!");
  assert.deepEqual(socket.texts(), ["Quick!"]);
  socket.end(4411, "enough");
  assert.equal((await talk.closed).code, 4411);
});

test("a client that cannot come back numbers nothing", async () => {
  const [talk, socket] = await conversation({ resume: false });
  talk.sendText("one");
  assert.deepEqual(socket.sent.at(-1), { type: "text", text: "one" });
});

test("a socket that takes nothing any more is given up", async () => {
  const [talk, socket] = await conversation();
  const again = FakeSocket.next();
  socket.bufferedAmount = 300_000;
  talk.sendAudio(Float32Array.of(1));
  (await again).accept(session("second"));
  assert.deepEqual(FakeSocket.all.at(-1).samples(), [1]);
  assert.equal(socket.readyState, 2);
  talk.close();
});

test("close says so, and waits for the server", async () => {
  const [talk, socket] = await conversation();
  const closed = talk.close();
  assert.deepEqual(socket.sent.at(-1), { type: "close" });
  socket.end(1000, "bye");
  assert.deepEqual(await closed, { code: 1000, reason: "bye" });
});

test("what is no MessagePack ends the conversation", async () => {
  const [talk, socket] = await conversation();
  socket.onmessage({ data: new Uint8Array([0xc1]) });
  assert.equal((await talk.closed).code, 1007);
});

test("events can be iterated over, and end with the conversation", async () => {
  const [talk, socket] = await conversation();
  const types = [];
  const reading = (async () => {
    for await (const { type } of talk) types.push(type);
  })();
  socket.says({ type: "state", state: "waiting" }, { type: "partial", turn: 1, text: "a" });
  await settled();
  socket.end(1000);
  await reading;
  assert.deepEqual(types.slice(-3), ["state", "partial", "closed"]);
});

test("the server is asked for duck, which is an event of its own", async () => {
  const [talk, socket] = await conversation();
  assert.ok(socket.sent[0].events.includes("duck"));
  const heard = [];
  talk.on("duck", ({ on }) => heard.push(on));
  socket.says({ type: "duck", on: true }, { type: "duck", on: false });
  await settled();
  assert.deepEqual(heard, [true, false]);
});

test("next finds an event, and fails when there will be none", async () => {
  const [talk, socket] = await conversation();
  const agent = talk.next("transcript", ({ role }) => role === "agent");
  const never = talk.next("error");
  const late = talk.next("error", undefined, 10);
  await assert.rejects(late, /in time/);
  socket.says({ type: "transcript", turn: 1, role: "user", text: "Hi" },
    { type: "transcript", turn: 1, role: "agent", text: "Hello" });
  assert.equal((await agent).text, "Hello");
  const rejected = assert.rejects(never, /over: 4410/);
  socket.end(4410, "nothing was said");
  await rejected;
});

test("the codes after which it comes back are those of the server", () => {
  const asked = [1000, 1001, 1003, 1006, 1007, 1009, 1011, 1012, 1013, 4400, 4404, 4408, 4409, 4410,
    4411, 4499, 4500, 4503, 4508, 4599, 4600];
  assert.deepEqual(asked.filter(mayComeBack),
    [1001, 1006, 1011, 1012, 1013, 4500, 4503, 4508, 4599]);
});

test("pauses grow up to a limit, with jitter, and end with the window", () => {
  const backoff = new Backoff(60_000, 0);
  const pauses = Array.from({ length: 8 }, () => backoff.next(1000, () => 1));
  assert.deepEqual(pauses, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  assert.equal(backoff.next(1000, () => 0), 0);
  assert.equal(backoff.next(60_001), null);
});

test("two seconds are kept of silence and fifteen of speech", () => {
  const recent = new RecentAudio();
  const kept = () => recent.unheard(0).reduce((sum, chunk) => sum + chunk.length, 0);
  for (let i = 0; i < 200; i++) recent.add(new Float32Array(512));
  assert.equal(kept(), 32_000);
  recent.isSpoken = true;
  for (let i = 0; i < 600; i++) recent.add(new Float32Array(512));
  assert.equal(kept(), 240_000);
});

test("speech that was cut off is kept through a long outage", () => {
  const recent = new RecentAudio();
  recent.isSpoken = true;
  for (let i = 0; i < 100; i++) recent.add(new Float32Array(512).fill(i));
  recent.isCut = true;
  for (let i = 100; i < 1000; i++) recent.add(new Float32Array(512).fill(i));
  const numbers = recent.unheard(10 * 512).map((chunk) => chunk[0]);
  assert.deepEqual([numbers[0], numbers.at(-1)], [10, 467]);
  recent.add(new Float32Array(512).fill(468));
  assert.equal(recent.unheard(0).at(-1)[0], 468, "there is a socket again");
});

test("words that were cut off are said again after a long outage", async () => {
  const [talk, socket] = await conversation();
  socket.says({ type: "state", state: "listening" });
  const say = (first, last) => {
    for (let i = first; i < last; i++) talk.sendAudio(new Float32Array(512).fill(i));
  };
  say(0, 100);
  const again = FakeSocket.next();
  socket.end(1006);
  say(100, 1000);
  const second = await again;
  second.accept(session("second", 0));
  const chunks = second.samples().filter((_, at) => at % 512 === 0);
  assert.deepEqual(chunks, Array.from({ length: 468 }, (_, i) => i));
  await talk.close();
});

// --- who it is ---

const bearer = (key) => ["echo.v1", `bearer.${Buffer.from(key).toString("base64url")}`];

test("a key is a subprotocol, at each socket", async () => {
  const [talk, first] = await conversation({ key: "echo_sk_ä+/" });
  assert.deepEqual(first.protocols, bearer("echo_sk_ä+/"));
  assert.equal(first.sent[0].key, undefined);
  const opened = FakeSocket.next();
  first.end(1006);
  assert.deepEqual((await opened).protocols, bearer("echo_sk_ä+/"));
  await talk.close();
});

test("without a key nothing is different", async () => {
  const [, socket] = await conversation();
  assert.equal(socket.protocols, undefined);
});

test("a key that does not last is asked for before each socket", async () => {
  let asked = 0;
  const [talk, first] = await conversation({ key: async () => `key-${(asked += 1)}` });
  assert.deepEqual(first.protocols, bearer("key-1"));
  const opened = FakeSocket.next();
  first.end(4511, "the key has expired");
  assert.deepEqual((await opened).protocols, bearer("key-2"));
  await talk.close();
});

test("a key that cannot be had is said, and comes back once it can", async () => {
  const failing = { key: () => Promise.reject(new Error("log in first")), WebSocket: FakeSocket };
  await assert.rejects(connect("ws://server/conversation", failing), /no key: log in first/);
  assert.equal(FakeSocket.all.length, 0);
  let isDown = false;
  const key = async () => {
    if (isDown) throw new Error("down");
    return "key";
  };
  const [talk, first] = await conversation({ key });
  isDown = true;
  first.end(1006);
  await settled();
  isDown = false;
  const second = await FakeSocket.next();
  assert.deepEqual(second.protocols, bearer("key"));
  await talk.close();
});

test("a conversation that is over while its key is fetched opens no socket", async () => {
  let give;
  const talk = connect("ws://server/conversation", {
    WebSocket: FakeSocket,
    key: () => new Promise((resolve) => (give = resolve)),
  });
  await settled();
  const { Conversation } = await import("../../serve_app/ingress/web/client/echo-serve.js");
  const other = new Conversation("ws://server/conversation", {
    WebSocket: FakeSocket,
    key: () => new Promise((resolve) => setTimeout(() => resolve("late"), 3)),
  });
  other.opened.catch(() => {});
  await other.close();
  await settled();
  assert.equal(FakeSocket.all.length, 0);
  const opened = FakeSocket.next();
  give("now");
  (await opened).accept(session("first"));
  await talk;
});

test("a key that never comes is given up", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const talk = connect("ws://server/conversation", {
    WebSocket: FakeSocket,
    key: () => new Promise(() => {}),
  });
  context.mock.timers.tick(10_000);
  await assert.rejects(talk, /the key does not come \(1006\)/);
});

test("a key that fails late is not given up as well", async (context) => {
  const taken = async () => {
    for (let i = 0; i < 9; i++) await Promise.resolve();
  };
  let fail;
  let asked = 0;
  const key = () => {
    asked += 1;
    return asked === 2 ? new Promise((_, reject) => (fail = reject)) : "key";
  };
  const [talk, first] = await conversation({ key });
  context.mock.timers.enable({ apis: ["setTimeout"] });
  context.mock.method(Math, "random", () => 0.99);
  first.end(1006);
  context.mock.timers.tick(200);
  await taken();
  context.mock.timers.tick(9900);
  fail("down");
  await taken();
  context.mock.timers.tick(400); // the key would have been given up after 100
  await taken();
  assert.equal(asked, 3);
  assert.equal(FakeSocket.all.length, 2);
  await talk.close();
});

test("a socket that cannot be made is said, whoever gives the key", async () => {
  class NoSocket {
    constructor() {
      throw new SyntaxError("no such address");
    }
  }
  for (const key of [undefined, async () => "key"]) {
    const connecting = async () => connect("server", { WebSocket: NoSocket, key });
    await assert.rejects(connecting(), /no such address/);
  }
});

test("a refused key is the last word", async () => {
  const opened = FakeSocket.next();
  const talk = connect("ws://server/conversation", { WebSocket: FakeSocket, key: "wrong" });
  const socket = await opened;
  socket.readyState = 1;
  socket.onopen();
  socket.end(4401, "this key is not known here");
  await assert.rejects(talk, (error) => error.code === 4401);
  assert.equal(FakeSocket.all.length, 1);
});
