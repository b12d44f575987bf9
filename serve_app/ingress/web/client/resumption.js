/** What a client needs to go on with its conversation at another socket. */

export const SAMPLE_RATE_HZ = 16000;
/** Kept while nobody speaks: speech is recognised only after it has gone on for a while. */
const ONSET_SAMPLES = 2 * SAMPLE_RATE_HZ;
/** Kept of speech. A server takes at most 20 s of one session at once. */
const MOST_SAMPLES = 15 * SAMPLE_RATE_HZ;
const FIRST_MS = 200;
const LONGEST_MS = 5000;
/** Codes below 4000 after which another socket may help; of our own, all 45xx. */
const MAY_COME_BACK = new Set([1001, 1006, 1011, 1012, 1013]);

/** Whether a client may open another socket after this close code, also one of a proxy. */
export function mayComeBack(code) {
  return MAY_COME_BACK.has(code) || (code >= 4500 && code < 4600);
}

/** The newest samples, sent or not, counted from the first one of the current socket. */
export class RecentAudio {
  /** The server hears speech: everything is kept, as long as it fits. */
  isSpoken = false;
  /** There is no socket. Speech that was cut off is kept from its beginning: the user falls silent
   * soon, and the silence of a long outage must not push the words out. */
  isCut = false;
  #chunks = [];
  #kept = 0;
  #start = 0;

  /** @param {Float32Array} samples */
  add(samples) {
    if (this.isCut && this.isSpoken && this.#kept + samples.length > MOST_SAMPLES) return;
    this.#chunks.push(samples);
    this.#kept += samples.length;
    this.#drop(this.#kept - (this.isSpoken ? MOST_SAMPLES : ONSET_SAMPLES));
  }

  /** What follows the samples that the server has heard. The audio of a new socket begins with it.
   * @returns {Float32Array[]} */
  unheard(heardSamples) {
    this.#drop(heardSamples - this.#start);
    this.#start = 0;
    this.isCut = false;
    return [...this.#chunks];
  }

  #drop(count) {
    let left = Math.min(count, this.#kept);
    while (left > 0) {
      const first = this.#chunks[0];
      const dropped = Math.min(left, first.length);
      if (dropped === first.length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(dropped);
      left -= dropped;
      this.#kept -= dropped;
      this.#start += dropped;
    }
  }
}

/** Pauses between tries: exponential, with full jitter, so that the clients of a server that died
 * do not all come back at once. */
export class Backoff {
  #until;
  #longest = FIRST_MS;

  constructor(windowMs, now = Date.now()) {
    this.#until = now + windowMs;
  }

  /** Milliseconds until the next try; null when there is no next try. */
  next(now = Date.now(), random = Math.random) {
    if (now > this.#until) return null;
    const pause = random() * this.#longest;
    this.#longest = Math.min(LONGEST_MS, 2 * this.#longest);
    return pause;
  }
}
