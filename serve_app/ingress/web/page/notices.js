/** What is wrong, in words that say what to do. */

import { MicrophoneError } from "../audio/microphone.js";
import { ConversationError } from "../client/echo-serve.js";

const MICROPHONE = {
  refused: [
    "The microphone is blocked.",
    "Allow it for this page in the address bar, then press the button again. Or type below.",
  ],
  insecure: [
    "No microphone and no sound here.",
    "Browsers allow them on HTTPS and on localhost only. Open the page there, or type below.",
  ],
  missing: ["No microphone was found.", "Connect one, then press the button again. Or type below."],
  busy: [
    "The microphone does not answer.",
    "Another program may be using it. Close that program, or type below.",
  ],
};

const CLOSED = {
  1006: ["The server does not answer.", "Is it running? Press the button to try again."],
  1011: ["The server failed.", "Press the button to try again."],
  1012: ["The server is restarting.", "Press the button to try again in a moment."],
  4404: [
    "This conversation cannot be continued.",
    "Its token was used elsewhere or has expired. Press the button to begin another one.",
  ],
  4408: ["The conversation did not begin in time.", "Press the button to try again."],
  4409: ["This conversation goes on in another window.", ""],
  4410: ["Nobody spoke for a while.", "Press the button to begin again."],
  4411: [
    "The conversation has had its time.",
    "This server ends each after a while. Press the button to begin another one.",
  ],
  4429: ["The server took this page for too fast.", "Press the button to try again."],
  4503: ["The server is restarting.", "Press the button to try again in a moment."],
  4508: ["This connection is too slow.", "Press the button to try again."],
  4511: ["The key has ended.", "Ask whoever runs this server for another one."],
};

/** @returns {{title: string, advice: string}} */
export function about(error) {
  if (error instanceof MicrophoneError) return notice(MICROPHONE[error.kind]);
  if (error instanceof ConversationError) return aboutCode(error.code, error.reason);
  return notice(["Something went wrong on this page.", String(error?.message ?? error)]);
}

/** Of the end of a conversation; null if nothing is wrong. */
export function aboutCode(code, reason) {
  if (code === 1000) return null;
  if (code === 1013) return notice(["The server is full.", laterAdvice(reason)]);
  if (code === 4401) return notice(["The server asks for a key.", keyAdvice(reason)]);
  if (code === 4402) return notice(["A limit of this server is reached.", reason]);
  if (code === 4403) return notice(["This page may not talk to this server.", reason]);
  if (code === 4400) return notice(["The server refuses these settings.", reason]);
  return notice(CLOSED[code] ?? [`The conversation has ended (${code}).`, reason]);
}

function laterAdvice(reason) {
  return `Press the button to try again in a moment. (${reason})`;
}

function keyAdvice(reason) {
  return `Open this page with #key=YOUR_KEY at the end of its address. (${reason})`;
}

function notice([title, advice]) {
  return { title, advice };
}
