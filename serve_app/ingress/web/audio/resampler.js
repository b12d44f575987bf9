/** Changes the sample rate of a stream: a windowed sinc, cut off below the lower rate's half. */

/** Zero crossings of the sinc on each side. More make the edge of the low-pass steeper. */
const CROSSINGS = 16;
/** Of the lower of the two rates: 7.2 kHz of 16 kHz pass. */
const PASSED = 0.45;
const STEPS = 256;

export class Resampler {
  #step;
  #reach;
  #kernel;
  #input = new Float32Array(0);
  #at = 0;

  constructor(fromHz, toHz) {
    this.#step = fromHz / toHz;
    const cutoff = (2 * PASSED * Math.min(fromHz, toHz)) / fromHz;
    this.#reach = Math.ceil(CROSSINGS / cutoff);
    this.#kernel = kernel(cutoff, this.#reach);
    this.#input = new Float32Array(this.#reach); // silence before the first sample
    this.#at = this.#reach;
  }

  /** @param {Float32Array} samples any number. @returns {Float32Array} as many as can be told now;
   * the output is late by the reach of the filter. */
  push(samples) {
    const input = joined(this.#input, samples);
    const output = [];
    while (this.#at + this.#reach + 1 < input.length) {
      output.push(this.#sample(input));
      this.#at += this.#step;
    }
    const done = Math.floor(this.#at) - this.#reach;
    this.#input = input.slice(done);
    this.#at -= done;
    return Float32Array.from(output);
  }

  #sample(input) {
    const nearest = Math.floor(this.#at);
    const phase = this.#at - nearest;
    let sum = 0;
    for (let offset = 1 - this.#reach; offset <= this.#reach; offset++) {
      const distance = Math.abs(offset - phase) * STEPS;
      const low = Math.floor(distance);
      const share = distance - low;
      const weight = this.#kernel[low] * (1 - share) + this.#kernel[low + 1] * share;
      sum += input[nearest + offset] * weight;
    }
    return sum;
  }
}

/** One side of the filter, by distance in steps. */
function kernel(cutoff, reach) {
  const values = new Float32Array(reach * STEPS + 2);
  for (let i = 0; i < values.length; i++) {
    const x = i / STEPS;
    const window = x < reach ? 0.5 + 0.5 * Math.cos((Math.PI * x) / reach) : 0;
    values[i] = cutoff * sinc(cutoff * x) * window;
  }
  return values;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function joined(first, second) {
  const both = new Float32Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
