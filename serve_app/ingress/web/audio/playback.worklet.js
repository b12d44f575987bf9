/** In the audio thread: plays the queue, and says how far it is. */

import { PlaybackQueue } from "./playback_queue.js";

const REPORT_S = 0.05;

class Playback extends AudioWorkletProcessor {
  #queue = new PlaybackQueue(sampleRate);
  #isPlaying = false;
  #reportAt = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data: [method, ...values] }) => {
      this.#queue[method](...values);
      if (method === "stop") this.#rest("stopped");
    };
  }

  process(inputs, [[output]]) {
    const count = this.#queue.fill(output);
    if (count) this.#plays(count);
    else if (this.#isPlaying && this.#queue.isEmpty) this.#rest("dry");
    return true;
  }

  #plays() {
    if (!this.#isPlaying || currentTime >= this.#reportAt) {
      this.#reportAt = currentTime + REPORT_S;
      this.#tell(this.#isPlaying ? "position" : "started");
    }
    this.#isPlaying = true;
  }

  #rest(kind) {
    if (this.#isPlaying) this.#tell(kind);
    this.#isPlaying = false;
  }

  #tell(kind) {
    this.port.postMessage({ kind, at: currentTime, ...this.#queue.position });
  }
}

registerProcessor("playback", Playback);
