/** One call: the conversation, the microphone and the loudspeaker together. */

import { Microphone, MicrophoneError } from "../audio/microphone.js";
import { Speaker, VOICE_RATE_HZ, rms } from "../audio/speaker.js";
import { SpeechGate } from "../audio/speech_gate.js";
import { connect } from "../client/echo-serve.js";

/** Of 32 ms each. The server says a little later to drop what was not played. */
const HOLD_AFTER_CHUNKS = 4;
/** As long as the server holds its own output. */
const HOLD_MS = 1500;
/** How often the server is told how much was played. */
const REPORT_MS = 250;

export class Call {
  /** Loudness of the microphone and the loudspeaker, 0 to 1. */
  micLevel = 0;
  #conversation = null;
  #microphone = null;
  #speaker = null;
  #gate = new SpeechGate();
  #heldAt = null;
  /** By the server, whose ears are better than the gate. */
  #isDucked = false;
  #isInterruptible;
  #listener;
  #serverState = "waiting";
  #isMuted = false;
  #isEnded = false;
  #isGivenUp = false;
  #reportedAt = 0;

  /** @param {(event: object) => void} listener is told the conversation's events, and of this page:
   *    `phase` (phase), `playback` (kind, token, samples, at), `microphone` (chunk),
   *    `no-microphone` (error), `no-sound` */
  constructor(listener) {
    this.#listener = listener;
  }

  /** @returns {Promise<boolean>} whether it has begun; false if it was given up
   *  @throws {MicrophoneError | ConversationError} and then nothing is left open */
  async start(url, options, wantsMicrophone) {
    this.#isInterruptible = options.turn?.interruptions !== false;
    try {
      // Both have to begin in the click: a browser gives sound only to who asked for it.
      const devices = [
        Speaker.isPossible ? Speaker.open((event) => this.#played(event)) : null,
        wantsMicrophone ? this.#openMicrophone() : null,
      ];
      const [speaker, microphone] = await Promise.allSettled(devices);
      this.#speaker = speaker.value ?? null;
      this.#microphone = microphone.value ?? null;
      for (const { reason } of [microphone, speaker]) if (reason) throw reason;
      if (!this.#isGivenUp) await this.#connect(url, options);
      if (this.#isGivenUp) await this.end();
      return !this.#isGivenUp;
    } catch (error) {
      await this.#release();
      throw error;
    }
  }

  get hasMicrophone() {
    return this.#microphone !== null;
  }

  get isMuted() {
    return this.#isMuted;
  }

  set isMuted(isMuted) {
    this.#isMuted = isMuted;
    if (this.#microphone) this.#microphone.isMuted = isMuted;
  }

  get voiceLevel() {
    return this.#speaker?.level ?? 0;
  }

  /** `listening`, `hearing`, `thinking`, `speaking`, `lost` or `ended`. */
  get phase() {
    if (this.#isEnded) return "ended";
    if (this.#conversation?.status === "lost") return "lost";
    if (this.#speaker?.isPlaying && !this.#speaker.isHeld) return "speaking";
    if (this.#speaker?.isHeld || this.#serverState === "listening") return "hearing";
    return this.#serverState === "waiting" ? "listening" : "thinking";
  }

  async addMicrophone() {
    this.#microphone = await this.#openMicrophone();
    this.#tell({ type: "phase", phase: this.phase });
  }

  say(text) {
    this.#conversation.sendText(text);
  }

  interrupt() {
    this.#conversation?.interrupt();
  }

  reconnect() {
    this.#conversation?.reconnect();
  }

  /** Hangs up. */
  async end() {
    this.#isGivenUp ||= this.#conversation === null;
    this.#speaker?.stop();
    await (this.#conversation?.close() ?? this.#release());
  }

  async #connect(url, options) {
    const conversation = await connect(url, { ...options, sampleRateHz: VOICE_RATE_HZ });
    conversation.on("*", (event) => this.#take(event));
    this.#conversation = conversation;
    if (this.#speaker && !this.#speaker.isThere) this.#tell({ type: "no-sound" });
  }

  #openMicrophone() {
    return Microphone.open(
      (chunk) => this.#spoken(chunk),
      () => this.#loseMicrophone(),
    );
  }

  #loseMicrophone() {
    this.#microphone?.close();
    this.#microphone = null;
    this.#tell({ type: "no-microphone", error: new MicrophoneError("missing") });
  }

  #take(event) {
    if (event.type === "audio") this.#speaker?.push(event.token, event.samples);
    else if (event.type === "interrupt" || event.type === "lost") this.#stop();
    else if (event.type === "duck") this.#duck(event.on);
    else if (event.type === "state") this.#serverState = event.state;
    else if (event.type === "closed") this.#finish();
    this.#tell(event);
    this.#tell({ type: "phase", phase: this.phase });
  }

  /** Meanwhile the gate may hold the agent, too: what is silent is not made louder. */
  #duck(isDucked) {
    this.#isDucked = isDucked;
    if (this.#heldAt !== null) return;
    this.#playOn();
  }

  /** Softer or at full volume, as the server wants it. */
  #playOn() {
    this.#speaker?.release();
    if (this.#isDucked) this.#speaker?.duck();
  }

  #stop() {
    this.#heldAt = null;
    this.#isDucked = false;
    this.#speaker?.stop();
  }

  #finish() {
    this.#isEnded = true;
    this.#release();
  }

  async #release() {
    const [speaker, microphone] = [this.#speaker, this.#microphone];
    this.#speaker = this.#microphone = null;
    await Promise.allSettled([speaker?.close(), microphone?.close()]);
  }

  #played(event) {
    this.#tell({ type: "playback", ...event });
    this.#report(event);
    if (event.kind === "dry") this.#conversation.waiting();
    if (event.kind !== "position") this.#tell({ type: "phase", phase: this.phase });
  }

  #report({ kind, token, samples }) {
    const now = performance.now();
    if (!samples || (kind === "position" && now < this.#reportedAt + REPORT_MS)) return;
    this.#reportedAt = now;
    this.#conversation.played(token, (samples / VOICE_RATE_HZ) * 1000);
  }

  #spoken(chunk) {
    this.micLevel = rms(chunk);
    this.#conversation?.sendAudio(chunk);
    this.#tell({ type: "microphone", chunk });
    if (this.#isInterruptible && this.#speaker) this.#yield(chunk);
  }

  /** The agent gives way at once. Whether it was an interruption, the server says later. */
  #yield(chunk) {
    const voiced = this.#gate.push(chunk, this.#speaker.isPlaying);
    if (!this.#speaker.isPlaying) return;
    if (this.#heldAt !== null) this.#goOn(voiced);
    else if (voiced >= HOLD_AFTER_CHUNKS) this.#hold();
    else if (voiced === 1) this.#speaker.duck();
    else if (voiced === 0) this.#playOn();
  }

  #hold() {
    this.#heldAt = performance.now();
    this.#speaker.hold();
    this.#tell({ type: "phase", phase: this.phase });
  }

  #goOn(voiced) {
    if (voiced && performance.now() - this.#heldAt < HOLD_MS) return;
    this.#heldAt = null;
    this.#playOn();
    this.#tell({ type: "phase", phase: this.phase });
  }

  #tell(event) {
    this.#listener(event);
  }
}
