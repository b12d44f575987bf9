/** Who is told of a conversation's events. */

const MOST_UNREAD = 4096;

export class Audience {
  #listeners = new Map();
  #early = [];
  #last = null;

  /** Until `seat`, events wait, so that whoever has just connected can listen first. */
  seat() {
    const early = this.#early;
    this.#early = null;
    for (const event of early ?? []) this.#dispatch(event);
  }

  on(type, listener) {
    const those = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, those.add(listener));
    return () => those.delete(listener);
  }

  tell(event) {
    if (this.#early) this.#early.push(event);
    else this.#dispatch(event);
  }

  /** The last event. */
  end(event) {
    this.#last = event;
    this.seat();
    this.#dispatch(event);
  }

  next(type, isWanted, timeoutMs) {
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        off();
        settle(value);
      };
      const timer = setTimeout(() => finish(reject, new Error(`no ${type} in time`)), timeoutMs);
      const off = this.on("*", (event) => {
        if ((type === "*" || event.type === type) && isWanted(event)) finish(resolve, event);
        else if (event.type === "closed") finish(reject, ended(event));
      });
      if (this.#last) finish(reject, ended(this.#last));
    });
  }

  /** An async iterator. Fails if what it iterates over is not read. */
  iterate() {
    const unread = [];
    let wake = () => {};
    let isFull = false;
    const off = this.on("*", (event) => {
      if (unread.length < MOST_UNREAD) unread.push(event);
      else isFull = true;
      wake();
    });
    const next = async () => {
      while (!unread.length && !isFull && !this.#last) await new Promise((done) => (wake = done));
      if (isFull) throw new Error(`${MOST_UNREAD} events were not read`);
      if (unread.length) return { value: unread.shift(), done: false };
      off();
      return { value: undefined, done: true };
    };
    const stop = async () => (off(), { value: undefined, done: true });
    return { next, return: stop, [Symbol.asyncIterator]: () => ({ next, return: stop }) };
  }

  #dispatch(event) {
    for (const type of [event.type, "*"]) {
      for (const listener of [...(this.#listeners.get(type) ?? [])]) listener(event);
    }
  }
}

function ended(event) {
  return new Error(`the conversation is over: ${event.code} ${event.reason}`.trim());
}
