/** The microphone, as the server wants it. */

import { isRunning } from "./speaker.js";

const WANTED = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  channelCount: 1,
};

/** Why there is no microphone: `insecure`, `refused`, `missing` or `busy`. */
export class MicrophoneError extends Error {
  constructor(kind, cause) {
    super(`no microphone: ${kind}`, { cause });
    this.kind = kind;
  }
}

export class Microphone {
  #stream;
  #context;
  #node;

  /** @param {(samples: Float32Array) => void} take is handed 32 ms at 16 kHz at a time
   *  @param {() => void} lost the device is gone
   *  @throws {MicrophoneError} */
  static async open(take, lost) {
    const stream = await allowed();
    // The device's own rate: Firefox refuses to connect a stream to a context with another one.
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("capture.worklet.js", import.meta.url));
    const microphone = new Microphone(stream, context, take, lost);
    if (await isRunning(context)) return microphone;
    await microphone.close();
    throw new MicrophoneError("busy");
  }

  constructor(stream, context, take, lost) {
    this.#stream = stream;
    this.#context = context;
    this.#node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    this.#node.port.onmessage = ({ data }) => take(data);
    new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(this.#node);
    for (const track of stream.getAudioTracks()) track.onended = lost;
  }

  /** A muted microphone sends silence. */
  set isMuted(isMuted) {
    for (const track of this.#stream.getAudioTracks()) track.enabled = !isMuted;
  }

  async close() {
    this.#node.port.onmessage = null;
    for (const track of this.#stream.getAudioTracks()) {
      track.onended = null;
      track.stop();
    }
    await this.#context.close();
  }
}

async function allowed() {
  if (!globalThis.isSecureContext || !navigator.mediaDevices) throw new MicrophoneError("insecure");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: WANTED });
  } catch (error) {
    const kinds = { NotAllowedError: "refused", SecurityError: "refused", NotFoundError: "missing" };
    throw new MicrophoneError(kinds[error.name] ?? "busy", error);
  }
}
