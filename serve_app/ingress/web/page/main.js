/** The page: what is pressed, and what is shown. */

import { MicrophoneError } from "../audio/microphone.js";
import { Call } from "./call.js";
import { takeKey } from "./key.js";
import { Latency } from "./latency.js";
import { about, aboutCode } from "./notices.js";
import { Orb } from "./orb.js";
import { download, Recording } from "./recording.js";
import { Settings } from "./settings.js";
import { Transcript } from "./transcript.js";

const PHASES = {
  idle: "Press to talk",
  starting: "Connecting…",
  listening: "Listening",
  hearing: "Hearing you",
  thinking: "Thinking",
  speaking: "Speaking",
  lost: "Reconnecting…",
};
const LOST = {
  title: "The connection to the server is lost.",
  advice: "Trying to reconnect. What you say meanwhile is kept.",
};

const SILENT = {
  title: "There is no sound.",
  advice: "No loudspeaker answers. You can read what the agent says.",
};

const ENDING = {
  title: "This conversation ends soon.",
  advice: "This server ends each after a while.",
};

const find = (id) => document.getElementById(id);
const transcript = new Transcript(find("transcript"));
const latency = new Latency(find("turns"));
const settings = new Settings(find("settings"));
let key = takeKey();
let recording = new Recording();
let call = null;
let phase = "idle";

new Orb(find("talk"), () => ({ user: call?.micLevel ?? 0, agent: call?.voiceLevel ?? 0 }));

// --- what is pressed ---

find("talk").addEventListener("click", () => {
  if (phase === "idle") begin(true);
  else call?.end();
});
find("mute").addEventListener("click", () => {
  call.isMuted = !call.isMuted;
  show();
});
find("add-microphone").addEventListener("click", () => {
  notify(null);
  call.addMicrophone().catch((error) => notify(about(error)));
});
find("stop").addEventListener("click", () => call?.interrupt());
find("open-settings").addEventListener("click", () => settings.show());
find("close-notice").addEventListener("click", () => notify(null));
find("save-log").addEventListener("click", () => download(recording.log(), name("jsonl")));
find("save-audio").addEventListener("click", () => download(recording.wav(), name("wav")));
find("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = find("text");
  const text = field.value.trim();
  if (text) type(text).then((isSent) => isSent && (field.value = ""));
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !find("settings").open) call?.interrupt();
});
addEventListener("hashchange", () => (key = takeKey())); // a page that is open is not loaded again
addEventListener("online", () => call?.reconnect());
addEventListener("pagehide", () => call?.end());

async function type(text) {
  if (phase === "idle" && !(await begin(false))) return false;
  if (phase === "starting") return false;
  call.say(text);
  return true;
}

// --- one conversation ---

/** Returns whether it has begun. */
async function begin(wantsMicrophone) {
  notify(null);
  transcript.clear();
  latency.clear();
  recording = new Recording();
  const begun = new Call(take);
  call = begun;
  setPhase("starting");
  const options = { ...settings.options, key, ...(wantsMicrophone ? {} : { greeting: false }) };
  try {
    const hasBegun = await begun.start(address(), options, wantsMicrophone);
    if (!hasBegun) call = null;
    setPhase(call === begun ? begun.phase : "idle");
    return hasBegun;
  } catch (error) {
    call = null;
    setPhase("idle");
    notify(about(error));
    return false;
  }
}

function address() {
  const url = new URL("conversation", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = url.hash = "";
  return url;
}

function take(event) {
  for (const view of [transcript, latency, recording]) view.take(event);
  if (event.type === "metrics") show();
  if (event.type === "phase") setPhase(event.phase === "ended" ? "idle" : event.phase);
  else if (event.type === "lost") notify(LOST);
  else if (event.type === "resumed") notify(null);
  else if (event.type === "no-microphone") notify(about(event.error));
  else if (event.type === "no-sound") notify(SILENT);
  else if (event.type === "goaway" && event.final) notify(ENDING);
  else if (event.type === "error") notify(failed(event));
  else if (event.type === "transcript" && event.role === "user") announce(`You said: ${event.text}`);
  else if (event.type === "closed") end(event);
}

function failed({ stage, message }) {
  if (stage === "audio") return { title: "The server cannot use this microphone's audio.", advice: message };
  return { title: `The server could not finish this turn (${stage}).`, advice: message };
}

function end({ code, reason }) {
  call = null;
  setPhase("idle");
  notify(aboutCode(code, reason));
}

// --- what is shown ---

function setPhase(next) {
  phase = next;
  show();
}

function show() {
  const isOn = phase !== "idle";
  document.body.dataset.phase = phase;
  document.body.toggleAttribute("data-empty", !isOn && transcript.isEmpty);
  const isMuted = call?.isMuted ?? false;
  tell(find("phase"), label(isMuted));
  find("talk").setAttribute("aria-label", isOn ? "End the conversation" : "Talk");
  find("talk").setAttribute("aria-pressed", String(isOn));
  find("mute").hidden = !call?.hasMicrophone;
  find("add-microphone").hidden = !isOn || phase === "starting" || call.hasMicrophone;
  find("mute").setAttribute("aria-pressed", String(isMuted));
  find("stop").hidden = !isOn;
  find("stop").disabled = phase !== "speaking" && phase !== "thinking";
  find("saving").hidden = recording.isEmpty;
  find("welcome").hidden = isOn || !transcript.isEmpty;
  find("latency").hidden = latency.turns.length === 0;
}

function label(isMuted) {
  if (phase === "idle" && !transcript.isEmpty) return "Press to talk again";
  return isMuted && phase === "listening" ? "Muted" : PHASES[phase];
}

/** A screen reader says it whenever it is written, so it is written when it is new. */
function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function notify(notice) {
  find("notice").hidden = notice === null;
  find("notice-title").textContent = notice?.title ?? "";
  find("notice-advice").textContent = notice?.advice ?? "";
}

/** To those who do not see the page. The agent's words are heard anyway. */
function announce(text) {
  find("announcer").textContent = text;
}

function name(extension) {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  return `conversation-${stamp}.${extension}`;
}

if (!globalThis.isSecureContext) notify(about(new MicrophoneError("insecure")));
show();
