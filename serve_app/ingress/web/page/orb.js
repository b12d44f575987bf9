/** The button that shows who speaks, and how loudly. */

const SMOOTHING = 0.25;

export class Orb {
  #button;
  #levels;
  #shown = { user: 0, agent: 0 };

  /** @param {() => {user: number, agent: number}} levels 0 to 1 */
  constructor(button, levels) {
    this.#button = button;
    this.#levels = levels;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const levels = this.#levels();
    for (const side of ["user", "agent"]) {
      const before = this.#shown[side];
      this.#shown[side] = before + (loudness(levels[side]) - before) * SMOOTHING;
      this.#button.style.setProperty(`--${side}`, this.#shown[side].toFixed(3));
    }
    requestAnimationFrame(() => this.#draw());
  }
}

/** As people hear it: -50 dB is 0, -10 dB is 1. */
export function loudness(level) {
  const decibels = 20 * Math.log10(Math.max(level, 1e-5));
  return Math.min(1, Math.max(0, (decibels + 50) / 40));
}
