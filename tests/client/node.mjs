// One server process under test. PRIMACRON_NODE is the path of its program.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "./client.mjs";

const BUILT = fileURLToPath(new URL("../../target/debug/examples/node", import.meta.url));
const PROGRAM = process.env.PRIMACRON_NODE ?? BUILT;
const READY = /^listening on (http:\/\/127\.0\.0\.1:\d+) node=(\S+)$/;
const DEADLINE_MS = 10_000;

/** Starts a server on a free port. It ends with the test `t`. */
export async function startNode(t, ...flags) {
  const node = new Node(["--port", "0", ...flags]);
  t.after(() => node.stop());
  await node.ready();
  return node;
}

class Node {
  #child;
  #clients = [];
  #stderr = "";
  #mayExit = false;

  constructor(args) {
    this.#child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.#stderr += text));
    this.exited = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(`did not start: ${error.message}`));
      this.#child.once("close", (code, signal) => resolve(signal ?? code));
    });
    process.once("exit", () => this.#child.kill("SIGKILL"));
  }

  async ready() {
    const lines = createInterface({ input: this.#child.stdout });
    const listening = new Promise((resolve) => {
      lines.on("line", (line) => READY.test(line) && resolve(READY.exec(line)));
    });
    const match = await within(Promise.race([listening, this.exited]), "the ready line");
    if (!Array.isArray(match)) throw this.#fault(`ended (${match}) before it was ready`);
    [, this.url, this.id] = match;
  }

  /** A client that is not yet open. */
  dial(options) {
    const client = new Client(this.url, options);
    this.#clients.push(client);
    return client;
  }

  /** A client that has its handshake. */
  async connect(options) {
    const client = this.dial(options);
    await client.until(() => client.handshake);
    return client;
  }

  async stats() {
    const answer = await fetch(`${this.url}/stats`, { signal: AbortSignal.timeout(DEADLINE_MS) });
    return answer.json();
  }

  /** Asks for the number of connections until it is `count`. */
  async untilConnections(count) {
    const end = performance.now() + DEADLINE_MS;
    let { connections } = await this.stats();
    while (connections !== count) {
      if (performance.now() > end) throw this.#fault(`has ${connections} connections, not ${count}`);
      await pause(10);
      ({ connections } = await this.stats());
    }
  }

  /** Asks the server to drain and end; gives its exit code. */
  async terminate() {
    this.#mayExit = true;
    this.#child.kill("SIGTERM");
    return within(this.exited, "the exit after SIGTERM");
  }

  /** Ends the server without a warning. */
  async kill() {
    this.#mayExit = true;
    this.#child.kill("SIGKILL");
    await within(this.exited, "the end of the server");
  }

  async stop() {
    const early = this.#child.exitCode ?? this.#child.signalCode;
    for (const client of this.#clients) client.socket.close();
    this.#child.kill("SIGKILL");
    await within(this.exited, "the end of the server");
    if (early !== null && !this.#mayExit) throw this.#fault(`ended (${early}) during the test`);
    if (this.#stderr.includes("panicked at")) throw this.#fault("panicked");
  }

  #fault(what) {
    return new Error(`${PROGRAM} ${what}; its stderr:\n${this.#stderr || "(empty)"}`);
  }
}

function within(promise, what) {
  const late = new AbortController();
  const deadline = pause(DEADLINE_MS, null, { signal: late.signal }).then(
    () => Promise.reject(new Error(`waited ${DEADLINE_MS} ms for ${what}`)),
    () => {},
  );
  return Promise.race([promise, deadline]).finally(() => late.abort());
}
