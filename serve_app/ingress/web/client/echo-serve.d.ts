/** Types of echo-serve.js. Fields of events have the names that they have on the wire; see
 * docs/protocol.md. */

export const SAMPLE_RATE_HZ: 16000;
export const EVENTS: readonly EventName[];
export type EventName =
  "caption" | "duck" | "error" | "goaway" | "metrics" | "partial" | "state" | "transcript";

export interface Options {
  /** System prompt of the agent. */
  prompt?: string;
  /** The agent's first words; with `false` the user speaks first. */
  greeting?: string | false;
  /** Which events to receive; all of them if left out. `state` and `goaway` always come. */
  events?: readonly EventName[];
  /** Of the user, such as `de`. */
  language?: string;
  /** The provider's name for a voice. */
  voice?: string;
  /** Of the agent's voice; 24000 if left out. 0: whatever the server is configured for. */
  sampleRateHz?: 0 | 8000 | 16000 | 22050 | 24000 | 32000 | 44100 | 48000;
  /** Turn settings for this session. */
  turn?: TurnOptions;
  /** Whether it comes back by itself when the connection is lost; true if left out. */
  resume?: boolean;
  /** Who this client is, if the server asks. A function is called before each connection: client
   * keys last two hours at most. */
  key?: string | (() => string | Promise<string>);
  /** For Node before 22, such as that of the package `ws`. */
  WebSocket?: typeof WebSocket;
}

export interface TurnOptions {
  preset?: "quick" | "balanced" | "patient";
  complete_threshold?: number;
  sure_threshold?: number;
  unfinished_threshold?: number;
  end_silence_ms?: number;
  likely_silence_ms?: number;
  sentence_silence_ms?: number;
  max_silence_ms?: number;
  interruptions?: boolean;
  interruptible_greeting?: boolean;
  silence_speech_ms?: number;
  interrupt_speech_ms?: number;
  interrupt_words?: number;
  backchannels?: string[];
  idle_prompt_ms?: number;
  idle_prompt?: string;
  idle_close_ms?: number;
}

/** What the audio that follows says. */
export interface Caption { type: "caption"; turn: number; text: string }
export interface Transcript {
  type: "transcript"; turn: number; role: "user" | "agent"; text: string; language?: string;
}
export interface Partial { type: "partial"; turn: number; text: string }
export interface StateChanged {
  type: "state"; state: "waiting" | "listening" | "transcribing" | "replying" | "closed";
}
/** The user makes a sound while the agent is heard: play the agent softer, or, with `false`, as
 * before. An `interrupt` and a lost connection end it, too. */
export interface Duck { type: "duck"; on: boolean }
export interface Metrics {
  type: "metrics"; turn: number;
  endpoint_ms: number; stt_ms: number; llm_ms: number; tts_ms: number;
}
export interface ErrorNotice { type: "error"; turn: number; stage: string; message: string }
/** The server is about to stop, or, if it is `final`, the session has nearly had its time. */
export interface GoAway { type: "goaway"; time_left_ms: number; final: boolean }
/** The token that the next reply's audio carries. */
export interface Token { type: "token"; token: string }
/** Stop playback now. */
export interface Interrupt { type: "interrupt"; token: string }
/** A piece of the agent's voice, of the live reply. */
export interface AgentAudio {
  type: "audio"; token: string;
  /** As the server sent it. */
  bytes: Uint8Array;
  /** The same as 16-bit samples, unless `sampleRateHz` was 0 and the server's format is not PCM. */
  samples: Int16Array;
}
/** The connection is lost; the conversation tries to come back. Stop playback. */
export interface Lost { type: "lost"; code: number; reason: string }
/** The conversation goes on, at another socket. */
export interface Resumed { type: "resumed"; count: number }
/** The conversation is over. */
export interface Closed { type: "closed"; code: number; reason: string }

export type Event =
  | Caption | Transcript | Partial | StateChanged | Duck | Metrics | ErrorNotice | GoAway
  | Token | Interrupt | AgentAudio | Lost | Resumed | Closed;
export type EventOf<T extends Event["type"] | "*"> =
  T extends "*" ? Event : Extract<Event, { type: T }>;

export class ConversationError extends Error {
  readonly code: number;
  readonly reason: string;
}

/** Rejects with a ConversationError if the server refuses the conversation or is not there. */
export function connect(url: string | URL, options?: Options): Promise<Conversation>;
/** Whether another socket may help after this close code. */
export function mayComeBack(code: number): boolean;

export class Conversation implements AsyncIterable<Event> {
  readonly status: "connecting" | "open" | "lost" | "closed";
  readonly resumes: number;
  readonly staleChunks: number;
  readonly closed: Promise<{ code: number; reason: string }>;

  /** Microphone audio: 16 kHz, from -1 to 1. The array is kept. */
  sendAudio(samples: Float32Array): void;
  /** A typed turn. It interrupts the agent as speech does. */
  sendText(text: string): void;
  /** Stops the agent. */
  interrupt(): void;
  /** The playback queue has run dry. */
  waiting(): void;
  /** How much of the audio with this token has been played. */
  played(token: string, playedMs: number): void;
  /** Ends the conversation. */
  close(): Promise<{ code: number; reason: string }>;
  /** Goes on at another socket at once. */
  reconnect(): void;

  on<T extends Event["type"] | "*">(type: T, listener: (event: EventOf<T>) => void): () => void;
  next<T extends Event["type"] | "*">(
    type: T, isWanted?: (event: EventOf<T>) => boolean, timeoutMs?: number,
  ): Promise<EventOf<T>>;
  [Symbol.asyncIterator](): AsyncIterator<Event>;
}
