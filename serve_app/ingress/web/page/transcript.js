/** Who said what. The agent's words appear as they are heard; what was interrupted is struck out. */

export class Transcript {
  #list;
  #user = null;
  #agent = null;
  /** The last reply that was cut, which goes on if its turn does. */
  #stopped = null;

  /** @param {HTMLOListElement} list */
  constructor(list) {
    this.#list = list;
    // A notice, or a keyboard on a phone, takes room from it.
    new ResizeObserver(() => this.#scroll()).observe(list.parentElement);
  }

  get isEmpty() {
    return this.#list.children.length === 0;
  }

  clear() {
    this.#list.replaceChildren();
    this.#user = this.#agent = this.#stopped = null;
  }

  take(event) {
    if (event.type === "partial") this.#partial(event.text);
    else if (event.type === "caption") this.#caption(event);
    else if (event.type === "audio") this.#agent?.voiced(event.token, event.samples.length);
    else if (event.type === "playback") this.#agent?.played(event.token, event.samples);
    else if (event.type === "transcript") this.#said(event);
    else if (event.type === "interrupt" || event.type === "lost") this.#cut();
    else if (event.type === "closed") this.#close();
  }

  #partial(text) {
    this.#user ??= this.#add("user");
    this.#user.write(text, "unsure");
  }

  #caption({ turn, text }) {
    if (this.#stopped?.turn === turn) {
      this.#agent = this.#stopped;
      this.#agent.goOn();
      this.#stopped = null;
    } else if (!this.#agent || this.#agent.isCut) {
      this.#agent = new Reply(this.#add("agent"), turn);
    }
    this.#agent.caption(text);
    this.#scroll();
  }

  #cut() {
    this.#agent?.cut();
    this.#stopped = this.#agent;
  }

  #said({ role, text, turn }) {
    if (role === "user") {
      (this.#user ?? this.#add("user")).write(text, "");
      this.#user = null;
    } else {
      (this.#agent ?? new Reply(this.#add("agent"), turn)).heard(text);
      this.#agent = null;
    }
    this.#scroll();
  }

  /** What the server has not told by now it will not tell. */
  #close() {
    this.#agent?.cut();
    this.#agent = this.#user = null;
  }

  #add(role) {
    const entry = new Entry(role);
    this.#list.append(entry.item);
    this.#scroll();
    return entry;
  }

  #scroll() {
    this.#list.parentElement.scrollTop = this.#list.parentElement.scrollHeight;
  }
}

/** One side's words. */
class Entry {
  item = document.createElement("li");
  words = document.createElement("p");

  constructor(role) {
    const who = document.createElement("span");
    who.className = "who";
    who.textContent = role === "user" ? "You" : "Agent";
    this.item.className = role;
    this.item.append(who, this.words);
  }

  write(text, kind) {
    this.words.textContent = text;
    this.words.className = kind;
  }
}

/** An entry whose words are heard one after the other. */
class Reply {
  #entry;
  #captions = [];
  #token = "";
  #voiced = 0;
  #heardChars = 0;
  /** What was heard of it before it was stopped, and went on. */
  #before = "";
  /** Nothing more of it will be heard, unless it goes on. */
  isCut = false;

  constructor(entry, turn) {
    this.#entry = entry;
    this.turn = turn;
  }

  /** It was stopped for nothing: what was not heard is said again. */
  goOn() {
    this.#captions = [];
    this.#token = "";
    this.#voiced = this.#heardChars = 0;
    this.isCut = false;
  }

  get #text() {
    return this.#captions.map(({ text }) => text).join("");
  }

  caption(text) {
    this.#captions.push({ text, from: this.#voiced, to: this.#voiced });
    this.#show(this.#heardChars, "ahead");
  }

  /** The audio of the last caption. */
  voiced(token, samples) {
    this.#token = token;
    this.#voiced += samples;
    const last = this.#captions.at(-1);
    if (last) last.to = this.#voiced;
  }

  played(token, samples) {
    if (token !== this.#token || this.isCut) return;
    let chars = 0;
    for (const { text, from, to } of this.#captions) {
      const share = to > from ? (samples - from) / (to - from) : samples >= from ? 1 : 0;
      chars += Math.round(text.length * Math.min(1, Math.max(0, share)));
    }
    this.#heardChars = wholeWords(this.#text, chars);
    this.#show(this.#heardChars, "ahead");
  }

  /** The server says how much of it was heard. */
  heard(text) {
    const all = this.#text.trim();
    if (all.startsWith(text)) this.#show(text.length, "cut", all);
    else this.#entry.write(this.#before + text, "");
    this.#before += `${text} `;
  }

  cut() {
    this.isCut = true;
    this.#show(this.#heardChars, "cut", this.#text.trimEnd());
  }

  #show(chars, rest, text = this.#text) {
    const isCut = rest === "cut";
    while (isCut && text[chars] === " ") chars += 1;
    const tail = document.createElement(isCut ? "del" : "span");
    tail.className = rest;
    tail.textContent = text.slice(chars);
    const heard = this.#before + text.slice(0, chars);
    this.#entry.words.replaceChildren(heard, ...(tail.textContent ? [tail] : []));
  }
}

/** To the end of the word that is being said. */
function wholeWords(text, chars) {
  const end = chars && text.indexOf(" ", chars);
  return end < 0 ? text.length : end;
}
