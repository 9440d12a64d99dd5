// One server process under test. PRIMACRON_EXAMPLES is the folder of the built examples.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { within } from "./wait.mjs";

const BUILT = fileURLToPath(new URL("../../target/debug/examples", import.meta.url));
const FOLDER = process.env.PRIMACRON_EXAMPLES ?? BUILT;
const READY = /(http:\/\/127\.0\.0\.1:(\d+))/;

/** Starts the measuring server; on a free port unless one is given. It ends with the test `t`. */
export const startNode = (t, flags = [], port = 0) => start(t, "node", ["--port", String(port), ...flags]);

/** Starts the chat; on a free port unless one is given. */
export const startChat = (t, port = 0) => start(t, "chat", [`127.0.0.1:${port}`]);

/** Starts the three servers of the cluster, and the page that shows them. */
export const startCluster = (t, flags = [], port = 0) => start(t, "cluster", [`127.0.0.1:${port}`, ...flags]);

async function start(t, name, args) {
  const server = new Server(join(FOLDER, name), args);
  t.after(() => server.stop());
  await server.ready();
  return server;
}

class Server {
  #program;
  #child;
  #stderr = "";

  constructor(program, args) {
    this.#program = program;
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.#stderr += text));
    this.exited = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(`did not start: ${error.message}`));
      this.#child.once("close", (code, signal) => resolve(signal ?? code));
    });
    process.once("exit", this.#abandon);
  }

  #abandon = () => this.#child.kill("SIGKILL");

  async ready() {
    const lines = createInterface({ input: this.#child.stdout });
    const listening = new Promise((resolve) => {
      lines.on("line", (line) => READY.test(line) && resolve(READY.exec(line)));
    });
    const match = await within(Promise.race([listening, this.exited]), "the ready line");
    if (!Array.isArray(match)) throw new Error(`${this.#program} ended (${match}); its stderr:\n${this.#stderr}`);
    this.url = match[1];
    this.port = Number(match[2]);
  }

  /** Ends the server at once, as a crash does. */
  async kill() {
    this.#child.kill("SIGKILL");
    await within(this.exited, "the end of the server");
    process.off("exit", this.#abandon);
  }

  /** Asks the server to drain and end; gives its exit code. */
  async interrupt(signal = "SIGINT") {
    this.#child.kill(signal);
    return within(this.exited, `the exit after ${signal}`);
  }

  async stop() {
    await this.kill();
    if (this.#stderr.includes("panicked at")) throw new Error(`${this.#program} panicked:\n${this.#stderr}`);
  }
}
