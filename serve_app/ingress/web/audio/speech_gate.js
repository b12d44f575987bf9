/** Whether the user has begun to speak, by loudness alone: soon and roughly. The server decides. */

import { rms } from "./speaker.js";

const QUIETEST = 0.012;
/** What is this much louder than the room is speech; more so while the loudspeaker plays, because
 * echo cancellation leaves something over. */
const OVER_ROOM = 3;
const OVER_ROOM_PLAYING = 5;
/** How fast the measure of the room follows: down at once, up slowly. */
const RISE = 1.01;
const LOUDEST_ROOM = 0.05;
const PAUSE_CHUNKS = 8;

export class SpeechGate {
  #room = QUIETEST / OVER_ROOM;
  #voiced = 0;
  #quiet = PAUSE_CHUNKS;

  /** @param {Float32Array} samples 32 ms @returns {number} for how many chunks the user has been
   * speaking, short pauses left out; 0 if they are not */
  push(samples, isPlaying) {
    const level = rms(samples);
    const over = isPlaying ? OVER_ROOM_PLAYING : OVER_ROOM;
    const isVoice = level > Math.max(QUIETEST, over * this.#room);
    this.#room = Math.min(level > this.#room ? this.#room * RISE : level, LOUDEST_ROOM);
    this.#room = Math.max(this.#room, 1e-4);
    this.#quiet = isVoice ? 0 : this.#quiet + 1;
    if (isVoice) this.#voiced += 1;
    else if (this.#quiet >= PAUSE_CHUNKS) this.#voiced = 0;
    return this.#voiced;
  }
}
