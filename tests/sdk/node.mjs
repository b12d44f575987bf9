/** Run with the address of a server and the paths of two recordings. Prints a JSON object a line. */

import { readFileSync } from "node:fs";
import * as sdk from "@openai/agents-realtime";
import { call } from "./call.mjs";

const [url, ...paths] = process.argv.slice(2);
const recordings = paths.map((path) => new Uint8Array(readFileSync(path)));
await call(sdk, url, recordings, (what) => console.log(JSON.stringify(what)));
process.exit(0);
