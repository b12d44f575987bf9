/** In the audio thread: the microphone at the device's rate becomes chunks of 32 ms at 16 kHz. */

import { Resampler } from "./resampler.js";

const RATE_HZ = 16000;
const CHUNK_SAMPLES = 512;

class Capture extends AudioWorkletProcessor {
  #resampler = sampleRate === RATE_HZ ? null : new Resampler(sampleRate, RATE_HZ);
  #chunk = new Float32Array(CHUNK_SAMPLES);
  #filled = 0;

  process([[samples]]) {
    if (samples) this.#take(this.#resampler ? this.#resampler.push(samples) : samples);
    return true;
  }

  #take(samples) {
    for (let at = 0; at < samples.length; ) {
      const part = samples.subarray(at, at + CHUNK_SAMPLES - this.#filled);
      this.#chunk.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === CHUNK_SAMPLES) this.#send();
    }
  }

  #send() {
    this.port.postMessage(this.#chunk, [this.#chunk.buffer]);
    this.#chunk = new Float32Array(CHUNK_SAMPLES);
    this.#filled = 0;
  }
}

registerProcessor("capture", Capture);
