import assert from "node:assert/strict";
import { test } from "node:test";

import { PlaybackQueue } from "../../serve_app/ingress/web/audio/playback_queue.js";
import { Resampler } from "../../serve_app/ingress/web/audio/resampler.js";
import { SpeechGate } from "../../serve_app/ingress/web/audio/speech_gate.js";

const RATE = 24000;

function sine(hz, rateHz, seconds) {
  return Float32Array.from({ length: rateHz * seconds }, (_, i) =>
    Math.sin((2 * Math.PI * hz * i) / rateHz),
  );
}

function level(samples) {
  return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length) * Math.SQRT2;
}

function resampled(samples, from, to, chunk) {
  const resampler = new Resampler(from, to);
  const output = [];
  for (let at = 0; at < samples.length; at += chunk) {
    output.push(...resampler.push(samples.subarray(at, at + chunk)));
  }
  return Float32Array.from(output);
}

for (const rate of [8000, 22050, 44100, 48000, 96000]) {
  test(`speech of a ${rate} Hz device keeps its pitch, loudness and length`, () => {
    const output = resampled(sine(1000, rate, 1), rate, 16000, 128);
    assert.ok(Math.abs(output.length - 16000) < 64, `${output.length}`);
    const middle = output.subarray(2000, 14000);
    assert.ok(Math.abs(level(middle) - 1) < 0.01, `${level(middle)}`);
    const crossings = middle.filter((x, i) => i && x >= 0 && middle[i - 1] < 0).length;
    assert.ok(Math.abs(crossings - 750) <= 1, `${crossings}`);
  });
}

test("what 16 kHz cannot carry does not come back as noise", () => {
  for (const hz of [9000, 12000, 20000]) {
    const output = resampled(sine(hz, 48000, 1), 48000, 16000, 128);
    assert.ok(level(output.subarray(200)) < 0.003, `${hz}: ${level(output)}`);
  }
});

test("the size of the chunks does not matter", () => {
  const speech = sine(440, 44100, 0.5);
  const [small, large] = [1, 4096].map((chunk) => resampled(speech, 44100, 16000, chunk));
  const length = Math.min(small.length, large.length);
  assert.ok(length > 7900);
  for (let i = 0; i < length; i++) assert.ok(Math.abs(small[i] - large[i]) < 1e-6, `${i}`);
});

// --- playback ---

function queue(seconds = 1) {
  const made = new PlaybackQueue(RATE);
  const half = new Int16Array((RATE * seconds) / 2).fill(16384);
  made.push("a", half);
  made.push("a", half);
  return made;
}

function fill(made, seconds) {
  const output = new Float32Array(RATE * seconds);
  const count = made.fill(output);
  return { output, count };
}

test("chunks follow each other without a gap", () => {
  const made = queue();
  const { output, count } = fill(made, 1.5);
  assert.equal(count, RATE);
  assert.ok(output.subarray(0, RATE).every((x) => x === 0.5));
  assert.ok(output.subarray(RATE).every((x) => x === 0));
  assert.deepEqual(made.position, { token: "a", samples: RATE });
});

test("stop is silent within 5 ms, without a click, and counts nothing", () => {
  const made = queue();
  fill(made, 0.25);
  made.stop();
  const { output, count } = fill(made, 0.5);
  assert.equal(count, 0);
  assert.ok(output.subarray(0.005 * RATE).every((x) => x === 0));
  const steps = output.subarray(1).map((x, i) => Math.abs(x - output[i]));
  assert.ok(Math.max(...steps) < 0.01 && output[0] > 0.4);
  assert.deepEqual(made.position, { token: "a", samples: 0.25 * RATE });
});

test("a hold is silent within 80 ms and loses nothing", () => {
  const made = queue();
  made.hold();
  const { output, count } = fill(made, 0.5);
  assert.ok(output.subarray(0.08 * RATE).every((x) => x === 0));
  assert.ok(made.isHeld && !made.isEmpty);
  made.release();
  assert.equal(fill(made, 2).count, RATE - count);
});

test("a duck is softer, and goes back", () => {
  const made = queue(4);
  made.duck();
  assert.ok(fill(made, 0.2).output.at(-1) < 0.13);
  made.release();
  assert.ok(fill(made, 0.2).output.at(-1) > 0.49);
});

test("after a stop the next reply has its full volume and its own count", () => {
  const made = queue();
  made.hold();
  fill(made, 0.2);
  made.stop();
  made.push("b", new Int16Array(100).fill(16384));
  fill(made, 0.1);
  assert.deepEqual(made.position, { token: "b", samples: 100 });
});

// --- the gate ---

function heard(gate, loudness, chunks, isPlaying = false) {
  let voiced = 0;
  for (let i = 0; i < chunks; i++) {
    voiced = gate.push(new Float32Array(512).fill(loudness), isPlaying);
  }
  return voiced;
}

test("speech over a quiet room is seen at once, and ends after a pause", () => {
  const gate = new SpeechGate();
  assert.equal(heard(gate, 0.002, 50), 0);
  assert.equal(heard(gate, 0.1, 1), 1);
  assert.equal(heard(gate, 0.1, 3), 4);
  assert.equal(heard(gate, 0.002, 4), 4, "between two words");
  assert.equal(heard(gate, 0.002, 4), 0);
});

test("a noisy room is no speech, nor is what echo cancellation leaves", () => {
  const gate = new SpeechGate();
  assert.equal(heard(gate, 0.01, 100), 0);
  assert.equal(heard(gate, 0.02, 10, true), 0);
});

test("a fan that is switched on becomes a part of the room", () => {
  const gate = new SpeechGate();
  heard(gate, 0.004, 50);
  assert.ok(heard(gate, 0.03, 5) > 0);
  assert.equal(heard(gate, 0.03, 300), 0);
});
