/** What can be downloaded: the log of a conversation, and its sound. */

import { VOICE_RATE_HZ } from "../audio/speaker.js";
import { SAMPLE_RATE_HZ } from "../client/echo-serve.js";

/** The rest is dropped: 115 MB. */
const LONGEST_S = 20 * 60;
const MOST_LINES = 20_000;
const SILENT_TYPES = new Set(["microphone", "phase"]);

export class Recording {
  #lines = [];
  #clips = { user: [], agent: [] };
  #pieces = new Map();
  #heard = new Map();
  #start = performance.now();

  get isEmpty() {
    return this.#lines.length === 0;
  }

  take(event) {
    if (event.type === "microphone") this.#user(event.chunk);
    else if (event.type === "audio") this.#queued(event);
    else if (event.type === "playback") this.#played(event);
    if (!SILENT_TYPES.has(event.type) && event.kind !== "position") this.#write(event);
  }

  /** One event a line. Audio is left out. */
  log() {
    const lines = this.#lines.map((line) => JSON.stringify(line) + "\n");
    return new Blob(lines, { type: "application/jsonl" });
  }

  /** The user left, the agent as it was heard right. */
  wav() {
    return wav([mixed(this.#clips.user), mixed(this.#clips.agent)], VOICE_RATE_HZ);
  }

  get #at() {
    return (performance.now() - this.#start) / 1000;
  }

  #write({ bytes, samples, chunk, error, ...fields }) {
    const count = samples?.length ?? samples;
    const known = count === undefined ? {} : { samples: count };
    if (this.#lines.length < MOST_LINES) {
      this.#lines.push({ at_s: Number(this.#at.toFixed(3)), ...fields, ...known });
    }
  }

  #user(chunk) {
    const from = this.#at - chunk.length / SAMPLE_RATE_HZ;
    this.#keep("user", from, faster(chunk));
  }

  #queued({ token, samples }) {
    if (!this.#pieces.has(token)) {
      // The reply before may still be reported on; older ones are where they belong.
      this.#pieces = new Map([...this.#pieces].slice(-1)).set(token, []);
    }
    this.#pieces.get(token).push(samples);
  }

  /** What was played since the last report. */
  #played({ token, samples, at }) {
    const before = this.#heard.get(token) ?? 0;
    if (samples <= before) return;
    const from = (at - this.#start) / 1000 - (samples - before) / VOICE_RATE_HZ;
    this.#keep("agent", from, cut(this.#pieces.get(token) ?? [], before, samples));
    this.#heard.set(token, samples);
  }

  #keep(side, from, samples) {
    if (from >= 0 && from < LONGEST_S) this.#clips[side].push({ from, samples });
  }
}

/** Linear: 16 kHz to 24 kHz, two samples become three. */
function faster(chunk) {
  const made = new Int16Array((chunk.length * VOICE_RATE_HZ) / SAMPLE_RATE_HZ);
  for (let i = 0; i < made.length; i++) {
    const at = (i * SAMPLE_RATE_HZ) / VOICE_RATE_HZ;
    const low = Math.floor(at);
    const next = chunk[Math.min(low + 1, chunk.length - 1)];
    const value = chunk[low] + (next - chunk[low]) * (at - low);
    made[i] = Math.max(-1, Math.min(1, value)) * 32767;
  }
  return made;
}

/** Samples `from` to `to` of pieces that follow each other. */
function cut(pieces, from, to) {
  const made = new Int16Array(to - from);
  let at = 0;
  for (const piece of pieces) {
    const first = Math.max(from, at);
    const last = Math.min(to, at + piece.length);
    if (first < last) made.set(piece.subarray(first - at, last - at), first - from);
    at += piece.length;
  }
  return made;
}

/** Clips on one track, each where it was heard, or right behind the one before. */
function mixed(clips) {
  const end = clips.reduce((latest, { from, samples }) => {
    return Math.max(latest, Math.round(from * VOICE_RATE_HZ)) + samples.length;
  }, 0);
  const track = new Int16Array(end);
  let at = 0;
  for (const { from, samples } of clips) {
    at = Math.max(at, Math.round(from * VOICE_RATE_HZ) - SLACK);
    track.set(samples.subarray(0, track.length - at), at);
    at += samples.length;
  }
  return track;
}

/** Clips that are nearly next to each other belong together. */
const SLACK = VOICE_RATE_HZ / 10;

function wav([left, right], rateHz) {
  const count = Math.max(left.length, right.length);
  const view = new DataView(new ArrayBuffer(44 + 4 * count));
  const name = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  name(0, "RIFF");
  view.setUint32(4, 36 + 4 * count, true);
  name(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 2, true);
  view.setUint32(24, rateHz, true);
  view.setUint32(28, 4 * rateHz, true);
  view.setUint16(32, 4, true);
  view.setUint16(34, 16, true);
  name(36, "data");
  view.setUint32(40, 4 * count, true);
  for (let i = 0; i < count; i++) {
    view.setInt16(44 + 4 * i, left[i] ?? 0, true);
    view.setInt16(46 + 4 * i, right[i] ?? 0, true);
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
