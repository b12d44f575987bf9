/** Where the time went between the user's last word and the agent's first, turn by turn. */

const STAGES = [
  ["endpoint", "End of turn", "until it is decided that you have finished"],
  ["stt", "Transcript", "until your words are there"],
  ["llm", "First clause", "until the language model has written one"],
  ["tts", "First audio", "until the voice has spoken some of it"],
  ["heard", "Loudspeaker", "from its arrival until it is heard"],
];
/** The scale of the bars grows with the slowest turn. */
const SHORTEST_SCALE_MS = 1000;

export class Latency {
  #list;
  #turns = [];
  #arrivals = new Map();
  #starts = new Map();
  #token = "";
  #asked = 0;

  /** @param {HTMLOListElement} list the newest turn is the first */
  constructor(list) {
    this.#list = list;
  }

  /** Milliseconds by stage of all turns, the oldest first. */
  get turns() {
    return this.#turns.map(({ name, parts }) => ({ name, ...parts }));
  }

  clear() {
    this.#list.replaceChildren();
    this.#turns = [];
    this.#asked = 0;
    this.#arrivals.clear();
    this.#starts.clear();
  }

  take(event) {
    if (event.type === "audio") this.#arrived(event.token);
    else if (event.type === "playback") this.#played(event);
    else if (event.type === "metrics") this.#add(event);
    else if (event.type === "transcript" && event.role === "user") this.#asked += 1;
  }

  #arrived(token) {
    this.#token = token;
    if (!this.#arrivals.has(token)) this.#arrivals.set(token, performance.now());
  }

  #played({ kind, token, at }) {
    if (kind !== "started" || this.#starts.has(token)) return;
    this.#starts.set(token, at);
    const turn = this.#turns.find((one) => one.token === token);
    if (turn) this.#heard(turn);
  }

  /** The server says so right after the first audio. */
  #add({ endpoint_ms, stt_ms, llm_ms, tts_ms }) {
    const parts = { endpoint: endpoint_ms, stt: stt_ms, llm: llm_ms, tts: tts_ms, heard: 0 };
    const name = this.#asked ? `Turn ${this.#asked}` : "Greeting";
    const row = { name, parts, token: this.#token, details: element("details") };
    row.details.open = true;
    if (this.#turns.length) this.#turns.at(-1).details.open = false;
    this.#turns.push(row);
    this.#list.prepend(element("li", "", row.details));
    if (this.#starts.has(row.token)) this.#heard(row);
    this.#draw();
  }

  #heard(row) {
    row.parts.heard = Math.max(0, this.#starts.get(row.token) - this.#arrivals.get(row.token));
    this.#draw();
  }

  #draw() {
    const longest = Math.max(SHORTEST_SCALE_MS, ...this.#turns.map(({ parts }) => total(parts)));
    for (const row of this.#turns) row.details.replaceChildren(...drawn(row, longest));
  }
}

/** The sum, which opens the stages. */
function drawn({ name, parts }, longest) {
  const bars = bounds(parts, longest).map(([from, to]) => bar(from, to));
  const sum = element("strong", "ms", `${Math.round(total(parts))} ms`);
  const summary = element("summary", "row", element("span", "", name), lane(...bars), sum);
  return [summary, ...stages(parts, longest)];
}

function stages(parts, longest) {
  const ends = bounds(parts, longest);
  return STAGES.map(([key, label, meaning], i) => {
    const took = element("span", "ms", `${Math.round(parts[key])} ms`);
    const row = element("p", `row ${key}`, element("span", "", label), lane(bar(...ends[i])), took);
    row.title = `${label}: ${meaning}`;
    return row;
  });
}

/** Where each stage begins and ends, as shares of the scale. */
function bounds(parts, longest) {
  let from = 0;
  return STAGES.map(([key]) => [from / longest, (from += parts[key]) / longest]);
}

function lane(...bars) {
  return element("span", "lane", ...bars);
}

function bar(from, to) {
  const made = element("span", "bar");
  made.style.setProperty("--from", from);
  made.style.setProperty("--to", to);
  return made;
}

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

function total(parts) {
  return Object.values(parts).reduce((sum, ms) => sum + ms, 0);
}
