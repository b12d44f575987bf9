"""A page like Echo's published example client, written from a description (what it sends, when, in
which chunks, and how it reads audio), not from its code. It knows nothing of the extensions."""

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_PAGE = """<!doctype html><title>An Echo client</title><link rel="icon" href="/icon.svg">
<script type="module">
import { decode, encode } from "/client/msgpack.js";

const RATE_HZ = 44100;  // pcm_44100, Echo's default
const CHUNK = 2048;
const log = (window.log = []);
const queue = [];
let token = "", playing = null, stalled = 0;

const socket = new WebSocket(location.origin.replace("http", "ws") + "/conversation/websocket");
socket.binaryType = "arraybuffer";
const send = (message) => { log.push(["sent", message.type]); socket.send(encode(message)); };

socket.onclose = ({ code }) => log.push(["closed", code]);
socket.onmessage = ({ data }) => {
  const message = decode(data);
  log.push(["got", message.type]);
  if (message.type === "token") token = message.token;
  if (message.type === "interrupt") { token = message.token; queue.length = 0; playing?.stop(); }
  if (message.type === "audio") {
    const buffer = message.audio.slice().buffer;
    queue.push(new Int16Array(buffer, 8));  // throws for an odd number of bytes
    queue.at(-1).token = new TextDecoder().decode(new Uint8Array(buffer, 0, 8));
    if (!playing) play();
  }
};

let context;
function play() {
  const samples = queue.shift();
  if (!samples) { playing = null; send({ type: "state", state: "waiting" }); return; }
  if (samples.token !== token) { stalled += 1; window.stalled = stalled; return; }  // stays so
  const audio = new AudioBuffer({ length: samples.length, sampleRate: RATE_HZ });
  audio.getChannelData(0).set(Float32Array.from(samples, (x) => x / 32768));
  playing = new AudioBufferSourceNode(context, { buffer: audio });
  playing.connect(context.destination);
  playing.onended = play;
  playing.start();
}

window.start = async () => {
  context = new AudioContext({ sampleRate: RATE_HZ });
  send({ type: "open", prompt: "You are a friendly voice assistant." });
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const microphone = new AudioContext({ sampleRate: 16000 });
  const source = new MediaStreamAudioSourceNode(microphone, { mediaStream: stream });
  const worklet = `registerProcessor("m", class extends AudioWorkletProcessor {
    process([[x]]) { if (x) this.port.postMessage(x.slice()); return true; } })`;
  await microphone.audioWorklet.addModule(URL.createObjectURL(new Blob([worklet],
    { type: "text/javascript" })));
  const node = new AudioWorkletNode(microphone, "m");
  let chunk = new Float32Array(CHUNK), filled = 0;
  node.port.onmessage = ({ data }) => {
    chunk.set(data, filled);
    filled += data.length;
    if (filled < CHUNK) return;
    send({ type: "audio", audio: new Uint8Array(chunk.slice().buffer) });
    filled = 0;
  };
  source.connect(node).connect(microphone.destination);
};
window.ready = new Promise((done) => (socket.onopen = () => done(true)));
</script>
"""


async def _answer(request: Request) -> HTMLResponse:
    return HTMLResponse(_PAGE)


echo_client = Route("/echo-client", _answer)
