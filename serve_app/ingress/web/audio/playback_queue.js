/** What the loudspeaker plays: a queue without gaps, which ducks, holds and stops without clicks. */

const DUCKED_GAIN = 0.25;
const SILENT = 0.003;
/** How fast the volume changes: 63% of the way. */
const GLIDE_S = 0.012;
const LAST_S = 0.005;

export class PlaybackQueue {
  #rateHz;
  #chunks = [];
  #at = 0;
  #gain = 1;
  #target = 1;
  #glide;
  #token = "";
  #played = 0;
  #tail = null;

  constructor(rateHz) {
    this.#rateHz = rateHz;
    this.#glide = 1 - Math.exp(-1 / (GLIDE_S * rateHz));
  }

  /** The token of what was played last, and how many samples of it were. */
  get position() {
    return { token: this.#token, samples: this.#played };
  }

  get isEmpty() {
    return this.#chunks.length === 0;
  }

  /** Nothing is played until `release`. */
  get isHeld() {
    return this.#target === 0 && this.#gain < SILENT;
  }

  /** @param {Int16Array} samples */
  push(token, samples) {
    if (samples.length) this.#chunks.push({ token, samples });
  }

  duck() {
    if (this.#target === 1) this.#target = DUCKED_GAIN;
  }

  hold() {
    this.#target = 0;
  }

  release() {
    this.#target = 1;
  }

  /** Drops everything. What is at the loudspeaker fades within 5 ms. */
  stop() {
    this.#tail = new Float32Array(Math.round(LAST_S * this.#rateHz));
    const length = this.#tail.length;
    for (let i = 0; i < length && this.#chunks.length; i++) {
      this.#tail[i] = this.#isSilent() ? 0 : this.#next(false) * (1 - i / length);
    }
    this.#chunks = [];
    this.#at = 0;
    this.#target = this.#gain = 1;
  }

  /** Fills the output. @param {Float32Array} output @returns {number} how many samples of the queue
   * were played. */
  fill(output) {
    let count = 0;
    let i = 0;
    for (; this.#tail && i < output.length; i++) {
      output[i] = this.#tail[0];
      this.#tail = this.#tail.length > 1 ? this.#tail.subarray(1) : null;
    }
    for (; i < output.length; i++) {
      if (this.#isSilent() || this.isEmpty) output[i] = 0;
      else {
        output[i] = this.#next(true);
        count += 1;
      }
    }
    return count;
  }

  #isSilent() {
    return this.isHeld;
  }

  #next(counts) {
    const { token, samples } = this.#chunks[0];
    const sample = samples[this.#at++] / 32768;
    if (counts) this.#count(token);
    if (this.#at === samples.length) {
      this.#chunks.shift();
      this.#at = 0;
    }
    this.#gain += (this.#target - this.#gain) * this.#glide;
    return sample * this.#gain;
  }

  #count(token) {
    if (token !== this.#token) {
      this.#token = token;
      this.#played = 0;
    }
    this.#played += 1;
  }
}
