/** What the user can choose, kept by this browser. */

const KEY = "echo-serve";
const DEFAULTS = {
  prompt: "",
  speaksFirst: true,
  greeting: "",
  language: "",
  voice: "",
  interruptions: true,
};

export class Settings {
  #dialog;
  #form;

  /** @param {HTMLDialogElement} dialog with a form whose fields have the names above */
  constructor(dialog) {
    this.#dialog = dialog;
    this.#form = dialog.querySelector("form");
    this.#fill({ ...DEFAULTS, ...stored() });
    this.#form.addEventListener("submit", () => store(this.#values()));
    this.#form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.#fill(DEFAULTS);
    });
    this.#form.speaksFirst.addEventListener("change", () => this.#follow());
    dialog.addEventListener("close", () => this.#fill({ ...DEFAULTS, ...stored() }));
  }

  show() {
    this.#dialog.showModal();
  }

  /** Options of `connect`. */
  get options() {
    const { prompt, speaksFirst, greeting, language, voice, interruptions } = this.#values();
    return {
      prompt,
      greeting: speaksFirst ? greeting || undefined : false,
      language,
      voice,
      turn: interruptions ? undefined : { interruptions },
    };
  }

  #values() {
    const value = (name) => {
      const field = this.#form.elements[name];
      return field.type === "checkbox" ? field.checked : field.value.trim();
    };
    return Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, value(name)]));
  }

  #fill(values) {
    for (const name of Object.keys(DEFAULTS)) {
      const field = this.#form.elements[name];
      if (field.type === "checkbox") field.checked = values[name];
      else field.value = values[name];
    }
    this.#follow();
  }

  #follow() {
    this.#form.greeting.disabled = !this.#form.speaksFirst.checked;
  }
}

/** A browser may keep nothing for this page, or something that somebody else has written. */
function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY)) ?? {};
    const known = Object.entries(found).filter(([name, value]) => {
      return typeof value === typeof DEFAULTS[name];
    });
    return Object.fromEntries(known);
  } catch {
    return {};
  }
}

function store(values) {
  try {
    localStorage.setItem(KEY, JSON.stringify(values));
  } catch {
    // They hold until the page is closed.
  }
}
