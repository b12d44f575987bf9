/** The client of Echo Serve for browsers and Node: one conversation, which goes on at another socket
 * when its own is lost. Types are in echo-serve.d.ts, the manual is docs/javascript.md. */

import { Audience } from "./audience.js";
import { decode, encode } from "./msgpack.js";
import { subprotocols } from "./key.js";
import { Backoff, mayComeBack, RecentAudio } from "./resumption.js";

export { mayComeBack, SAMPLE_RATE_HZ } from "./resumption.js";

export const EVENTS = [
  "caption", "duck", "error", "goaway", "metrics", "partial", "state", "transcript",
];

const CONNECT_MS = 10_000;
const CLOSE_MS = 2_000;
const TOKEN_BYTES = 8;
/** A socket's `readyState`. */
const OPEN = 1;
/** More is refused by the server. */
const MESSAGE_SAMPLES = 1 << 17;
/** Audio that the socket has not taken: 4 s of it mean that nobody is at the other end. */
const STALLED_BYTES = 4 * 16_000 * 4;
const MOST_TEXTS = 64;
const USER_SPEAKS = new Set(["listening", "transcribing"]);

/** A conversation could not begin, or is over: `code` is the close code of the socket. */
export class ConversationError extends Error {
  constructor(code, reason) {
    super(`${reason || "the connection was lost"} (${code})`);
    this.name = "ConversationError";
    this.code = code;
    this.reason = reason;
  }
}

/** Opens a conversation. Rejects with a ConversationError if the server refuses it or is not there.
 * Listeners that are added before anything else is awaited miss nothing. */
export async function connect(url, options = {}) {
  const conversation = new Conversation(url, options);
  await conversation.opened;
  return conversation;
}

export class Conversation {
  /** `connecting`, `open`, `lost` (it is coming back) or `closed`. */
  status = "connecting";
  /** How often it has come back. */
  resumes = 0;
  /** Audio of replies that an `interrupt` had ended: a bug of the server. */
  staleChunks = 0;
  /** Resolves with the first message of the server. */
  opened;
  /** Resolves with `{code, reason}` when the conversation is over. */
  closed;

  #url;
  #options;
  #socket = null;
  /** How many sockets were wanted so far. */
  #dials = 0;
  #audience = new Audience();
  #settle = {};
  #token = "";
  #resumption = null;
  #backoff = null;
  #timer = null;
  #recent = new RecentAudio();
  /** Typed turns: those that wait, and the last that were sent. */
  #waiting = [];
  #typed = [];
  #textId = 0;
  #isLeaving = false;
  #isClosing = false;
  #played = null;

  constructor(url, options) {
    this.#url = String(url);
    this.#options = { events: EVENTS, sampleRateHz: 24_000, resume: true, ...options };
    this.opened = new Promise((resolve, reject) => Object.assign(this.#settle, { resolve, reject }));
    this.closed = new Promise((resolve) => (this.#settle.closed = resolve));
    this.#dial(this.#opening());
  }

  // --- what the user does ---

  /** Microphone audio at 16 kHz, from -1 to 1, in chunks of any size; 30 to 250 ms are best. The
   * array is kept, so it must not change afterwards. */
  sendAudio(samples) {
    if (this.#options.resume) this.#recent.add(samples);
    if (this.status !== "open") return;
    if (this.#socket.bufferedAmount > STALLED_BYTES) this.reconnect();
    else this.#sendSamples(samples);
  }

  /** A typed turn. While the connection is lost it waits for the next one. */
  sendText(text) {
    if (this.status === "closed") throw new Error("the conversation is over");
    if (this.#waiting.length >= MOST_TEXTS) throw new Error("too many texts wait for a connection");
    this.#textId += 1;
    this.#waiting.push({ type: "text", text, id: this.#options.resume ? this.#textId : undefined });
    this.#sendTexts();
  }

  /** Stops the agent, although nobody speaks. */
  interrupt() {
    this.#send({ type: "interrupt" });
  }

  /** The playback queue has run dry. */
  waiting() {
    this.#send({ type: "state", state: "waiting" });
  }

  /** How much of the audio with this token has been played. */
  played(token, playedMs) {
    this.#played = { token, played_ms: playedMs };
    this.#send({ type: "played", ...this.#played });
  }

  /** Ends the conversation; resolves when it is over. */
  close() {
    this.#isClosing = true;
    if (this.status === "open") {
      this.#send({ type: "close" });
      this.#timer = setTimeout(() => this.#finish(1000, ""), CLOSE_MS);
    } else {
      this.#finish(1000, "");
    }
    return this.closed;
  }

  /** Goes on at another socket at once: the network has changed, or seems to be gone. */
  reconnect() {
    if (this.status !== "open" && this.status !== "lost") return;
    this.#abandon();
    this.#ended(1006, "the connection was given up");
  }

  // --- what the server says ---

  /** Calls `listener` with each event of this type, `*` for all. Returns what ends that. */
  on(type, listener) {
    return this.#audience.on(type, listener);
  }

  /** The next event of this type that `isWanted`. Rejects after `timeoutMs`, and when the
   * conversation is over. */
  next(type, isWanted = () => true, timeoutMs = 90_000) {
    return this.#audience.next(type, isWanted, timeoutMs);
  }

  /** All events from now on, to the end of the conversation. */
  [Symbol.asyncIterator]() {
    return this.#audience.iterate();
  }

  // --- one socket ---

  #opening() {
    const { prompt, greeting, language, voice, turn, resume, sampleRateHz, events } = this.#options;
    return {
      type: "open",
      prompt: prompt ?? "",
      events: [...new Set([...events, "state", "goaway"])],
      greeting: greeting ?? undefined,
      language: language || undefined,
      voice: voice || undefined,
      sample_rate_hz: sampleRateHz || undefined,
      turn,
      resume: resume || undefined,
    };
  }

  /** A key may have to be fetched anew: those of web pages do not last. */
  #dial(opening) {
    const { key } = this.#options;
    if (typeof key !== "function") {
      this.#dialWith(key, opening);
      return;
    }
    const isWanted = this.#claim();
    const ended = (reason) => {
      if (isWanted()) this.#abandon(), this.#ended(1006, reason);
    };
    this.#timer = setTimeout(() => ended("the key does not come"), CONNECT_MS);
    Promise.resolve()
      .then(key)
      .then(
        (found) => isWanted() && this.#dialWith(found, opening),
        (error) => ended(`there is no key: ${error?.message ?? error}`),
      )
      .catch((error) => ended(error.message)); // there can be no such socket
  }

  /** Returns whether nothing else has been begun since. */
  #claim() {
    this.#dials += 1;
    const mine = this.#dials;
    return () => mine === this.#dials && this.status !== "closed";
  }

  #dialWith(key, opening) {
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    // A browser can set no header of a WebSocket, but its subprotocols.
    const socket = key ? new Socket(this.#url, subprotocols(key)) : new Socket(this.#url);
    this.#claim();
    clearTimeout(this.#timer);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const ended = (code, reason) => {
      if (this.#socket === socket) this.#abandon(), this.#ended(code, reason);
    };
    this.#timer = setTimeout(() => ended(1006, "the server does not answer"), CONNECT_MS);
    socket.onopen = () => socket.send(encode(opening));
    socket.onclose = (event) => ended(event.code, event.reason);
    socket.onerror = () => {}; // `close` follows
    socket.onmessage = (event) => {
      if (this.#socket === socket) this.#take(event.data, ended);
    };
  }

  #abandon() {
    this.#claim();
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.onmessage = socket.onopen = null;
    if (socket && socket.readyState < 2) socket.close();
  }

  #take(frame, ended) {
    let message;
    try {
      message = decode(frame);
    } catch (error) {
      ended(1007, `the server sent what is not MessagePack: ${error.message}`);
      return;
    }
    if (this.status === "connecting") this.#isOpen();
    this.#follow(message);
  }

  #follow(message) {
    if (message.type === "audio") this.#takeAudio(message.audio);
    else if (message.type === "session") this.#takeSession(message);
    else this.#takeEvent(message);
  }

  #takeEvent(message) {
    if (message.type === "token" || message.type === "interrupt") this.#token = message.token;
    else if (message.type === "goaway") this.#isLeaving = !message.final;
    else if (message.type === "state") this.#recent.isSpoken = USER_SPEAKS.has(message.state);
    this.#audience.tell(message);
  }

  #takeAudio(stamped) {
    const token = String.fromCharCode(...stamped.subarray(0, TOKEN_BYTES));
    if (token !== this.#token) {
      this.staleChunks += 1;
      return;
    }
    const bytes = stamped.slice(TOKEN_BYTES);
    this.#audience.tell({ type: "audio", token, bytes, samples: new Int16Array(bytes.buffer) });
  }

  // --- the beginning, and going on elsewhere ---

  #isOpen() {
    clearTimeout(this.#timer);
    this.status = "open";
    this.#settle.resolve(this);
    this.#sendTexts();
    setTimeout(() => this.#audience.seat());
  }

  #takeSession(message) {
    const isFirst = this.#resumption === null;
    this.#resumption = { token: message.resume_token, windowMs: message.window_s * 1000 };
    if (!isFirst) this.#goOnHere(message.heard_samples, message.text_id);
  }

  /** What the server has not taken is sent again. */
  #goOnHere(heardSamples, textId) {
    clearTimeout(this.#timer);
    this.#backoff = null;
    this.#isLeaving = false;
    this.status = "open";
    this.resumes += 1;
    this.#waiting = [...this.#typed.filter(({ id }) => id > textId), ...this.#waiting];
    this.#typed = [];
    this.#sendTexts();
    for (const samples of this.#recent.unheard(heardSamples)) this.#sendSamples(samples);
    this.#audience.tell({ type: "resumed", count: this.resumes });
  }

  #ended(code, reason) {
    if (this.status === "closed") return;
    if (this.status === "connecting" || this.#isClosing || !this.#resumption || !mayComeBack(code)) {
      this.#finish(code, reason);
      return;
    }
    this.#backoff ??= new Backoff(this.#resumption.windowMs);
    const pauseMs = this.#backoff.next();
    if (pauseMs === null) this.#finish(code, reason);
    else this.#comeBack(code, reason, pauseMs);
  }

  #comeBack(code, reason, pauseMs) {
    const wasOpen = this.status === "open";
    this.status = "lost";
    this.#recent.isCut = true;
    if (wasOpen) this.#audience.tell({ type: "lost", code, reason });
    this.#timer = setTimeout(() => {
      const played = this.#played ?? undefined;
      this.#dial({ type: "open", resume_token: this.#resumption.token, played });
    }, pauseMs);
  }

  #finish(code, reason) {
    if (this.status === "closed") return;
    const wasConnecting = this.status === "connecting";
    this.status = "closed";
    this.#abandon();
    if (wasConnecting) this.#settle.reject(new ConversationError(code, reason));
    this.#settle.closed({ code, reason });
    this.#audience.end({ type: "closed", code, reason });
  }

  // --- sending ---

  #send(message) {
    if (this.status === "open" && this.#socket.readyState === OPEN) {
      this.#socket.send(encode(message));
    }
  }

  #sendSamples(samples) {
    for (let at = 0; at < samples.length; at += MESSAGE_SAMPLES) {
      const part = samples.subarray(at, at + MESSAGE_SAMPLES);
      const audio = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
      this.#send({ type: "audio", audio });
    }
  }

  /** Not after `goaway`, unless the session itself is about to end: the socket may be closing, and
   * there will be another one. */
  #sendTexts() {
    while (this.status === "open" && !this.#isLeaving && this.#waiting.length) {
      const text = this.#waiting.shift();
      this.#typed = [...this.#typed, text].slice(-MOST_TEXTS);
      this.#send(text);
    }
  }
}
