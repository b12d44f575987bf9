/** The loudspeaker. */

/** What the server is asked for. Local voices have 22 or 24 kHz; more would be bytes for nothing. */
export const VOICE_RATE_HZ = 24000;
const START_MS = 3000;

export class Speaker {
  isPlaying = false;
  #context;
  #node;
  #analyser;
  #wave;
  #isHeld = false;

  /** Browsers keep the audio thread, too, from pages that are not on HTTPS or localhost. */
  static get isPossible() {
    return "AudioWorklet" in globalThis;
  }

  /** Call this while a click or a key is handled, or the browser may keep it silent.
   * @param {(event: {kind: "started" | "position" | "dry" | "stopped", token: string,
   *     samples: number, at: number}) => void} listener
   *     told what is played; `at` is when, by performance.now() */
  static async open(listener) {
    const context = new AudioContext({ sampleRate: VOICE_RATE_HZ, latencyHint: "interactive" });
    const started = isRunning(context);
    await context.audioWorklet.addModule(new URL("playback.worklet.js", import.meta.url));
    await started;
    return new Speaker(context, listener);
  }

  constructor(context, listener) {
    this.#context = context;
    this.#node = new AudioWorkletNode(context, "playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    this.#analyser = new AnalyserNode(context, { fftSize: 512 });
    this.#wave = new Float32Array(this.#analyser.fftSize);
    this.#node.connect(this.#analyser).connect(context.destination);
    this.#node.port.onmessage = ({ data }) => {
      this.isPlaying = data.kind === "started" || data.kind === "position";
      listener({ ...data, at: this.#heardAt(data.at) });
    };
  }

  /** @param {Int16Array} samples */
  push(token, samples) {
    this.#node.port.postMessage(["push", token, samples]);
  }

  /** Drops what is not played yet. */
  stop() {
    this.#isHeld = false;
    this.#node.port.postMessage(["stop"]);
  }

  /** Softer, while it is not clear whether the user wants the floor. */
  duck() {
    this.#node.port.postMessage(["duck"]);
  }

  /** Silent, and nothing is lost. */
  hold() {
    this.#isHeld = true;
    this.#node.port.postMessage(["hold"]);
  }

  /** Goes on, at full volume. */
  release() {
    this.#isHeld = false;
    this.#node.port.postMessage(["release"]);
  }

  /** Whether there is a loudspeaker that plays. */
  get isThere() {
    return this.#context.state === "running";
  }

  get isHeld() {
    return this.#isHeld;
  }

  /** How loud it is right now: 0 to 1. */
  get level() {
    this.#analyser.getFloatTimeDomainData(this.#wave);
    return rms(this.#wave);
  }

  async close() {
    await this.#context.close();
  }

  /** From the context's clock to that of the page, with the browser's own buffer. Not with the
   * device's: where `outputLatency` is read, Firefox (153, PulseAudio) blocks the whole page. */
  #heardAt(contextTime) {
    const late = this.#context.currentTime - contextTime - this.#context.baseLatency;
    return performance.now() - 1000 * late;
  }
}

/** Starts a context. Without a sound card Firefox never answers. */
export async function isRunning(context) {
  const late = new Promise((done) => setTimeout(done, START_MS));
  await Promise.race([context.resume(), late]);
  return context.state === "running";
}

export function rms(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / samples.length);
}
