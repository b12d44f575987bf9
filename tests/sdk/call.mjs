/** A call with OpenAI's Agents SDK for JavaScript, as its users write it. Run with the address of a
 * server and two recordings of 16-bit samples at 24 kHz: the second one interrupts the answer to the
 * first. Prints what happens, a JSON object a line. */

import { readFileSync } from "node:fs";
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { z } from "zod";

const CHUNK_BYTES = 4800;
const BYTES_PER_MS = 48;
const SILENCE_MS = 2000;
const AGENT_TALKS_MS = 2000;

const tell = (kind, fields = {}) => console.log(JSON.stringify({ kind, ...fields }));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const getWeather = tool({
  name: "get_weather",
  description: "Tells the weather in a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    tell("tool", { city });
    return `It is sunny in ${city}.`;
  },
});

/** In real time, and silence after it. */
async function speak(session, recording) {
  const sound = Buffer.concat([recording, Buffer.alloc(SILENCE_MS * BYTES_PER_MS)]);
  const began = performance.now();
  for (let at = 0; at < sound.length; at += CHUNK_BYTES) {
    await pause(began + at / BYTES_PER_MS - performance.now());
    session.sendAudio(new Uint8Array(sound.subarray(at, at + CHUNK_BYTES)).buffer);
  }
}

const [url, ...paths] = process.argv.slice(2);
const [first, second] = paths.map((path) => readFileSync(path));
const agent = new RealtimeAgent({ name: "Agent", instructions: "Use your tools.", tools: [getWeather] });
const transport = new OpenAIRealtimeWebSocket({ url });
const session = new RealtimeSession(agent, { transport });

function latch() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}
let hearsAgent = latch();
const wasInterrupted = latch();
session.on("audio", () => hearsAgent.resolve());
session.on("audio_interrupted", () => {
  tell("interrupted");
  hearsAgent = latch();
  wasInterrupted.resolve();
});
session.on("error", (error) => tell("error", { text: JSON.stringify(error) }));
session.on("transport_event", (event) => {
  if (event.type === "conversation.item.input_audio_transcription.completed") {
    tell("heard", { text: event.transcript });
  }
});

await session.connect({ apiKey: "any", url });
await speak(session, first);
await hearsAgent.promise;
await pause(AGENT_TALKS_MS);
await speak(session, second);
await wasInterrupted.promise;
await hearsAgent.promise;
tell("answered");
session.close();
process.exit(0);
