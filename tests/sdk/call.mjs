/** A call with OpenAI's Agents SDK for JavaScript, as its users write it, in Node or a browser. */

const CHUNK_BYTES = 4800;
const BYTES_PER_MS = 48;
const SILENCE_MS = 2000;
const AGENT_TALKS_MS = 2000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function latch() {
  let open;
  const promise = new Promise((resolve) => (open = resolve));
  return { promise, open };
}

/** In real time, and silence after it. */
async function speak(session, recording) {
  const sound = new Uint8Array(recording.length + SILENCE_MS * BYTES_PER_MS);
  sound.set(recording);
  const began = performance.now();
  for (let at = 0; at < sound.length; at += CHUNK_BYTES) {
    await pause(began + at / BYTES_PER_MS - performance.now());
    session.sendAudio(sound.slice(at, at + CHUNK_BYTES).buffer);
  }
}

/** Says two recordings of 16-bit samples at 24 kHz, the second one into the answer to the first.
 * `sdk`: the package; `tell` gets what happens. */
export async function call(sdk, url, [first, second], tell) {
  const getWeather = sdk.tool({
    name: "get_weather",
    description: "Tells the weather in a city.",
    strict: false,
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: true,
    },
    execute: async ({ city }) => {
      tell({ kind: "tool", city });
      return `It is sunny in ${city}.`;
    },
  });
  const tools = [getWeather];
  const agent = new sdk.RealtimeAgent({ name: "Agent", instructions: "Use your tools.", tools });
  // The key of a test may be in a page.
  const transport = new sdk.OpenAIRealtimeWebSocket({ url, useInsecureApiKey: true });
  const session = new sdk.RealtimeSession(agent, { transport });
  let hearsAgent = latch();
  const wasInterrupted = latch();
  session.on("audio", () => hearsAgent.open());
  session.on("audio_interrupted", () => {
    tell({ kind: "interrupted" });
    hearsAgent = latch();
    wasInterrupted.open();
  });
  session.on("error", (error) => tell({ kind: "error", text: JSON.stringify(error) }));
  session.on("transport_event", (event) => {
    if (event.type === "conversation.item.input_audio_transcription.completed") {
      tell({ kind: "heard", text: event.transcript });
    }
  });
  await session.connect({ apiKey: "any", url });
  await speak(session, first);
  await hearsAgent.promise;
  await pause(AGENT_TALKS_MS);
  await speak(session, second);
  await wasInterrupted.promise;
  await hearsAgent.promise;
  tell({ kind: "answered" });
  session.close();
}
