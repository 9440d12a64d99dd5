// A real Redis that keeps nothing and ends with its test.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { within } from "./wait.mjs";

/** Starts one on a free port; gives its address. */
export async function startRedis(t) {
  const port = await freePort();
  const flags = ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--appendonly", "no"];
  const child = spawn("redis-server", flags, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const abandon = () => child.kill("SIGKILL");
  process.once("exit", abandon);
  t.after(async () => {
    abandon();
    await ended;
    process.off("exit", abandon);
  });
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise((resolve) => lines.on("line", (line) => /ready to accept/i.test(line) && resolve(true)));
  const early = ended.then(() => Promise.reject(new Error("redis-server ended")));
  await within(Promise.race([ready, early]), "Redis");
  early.catch(() => {});
  return `redis://127.0.0.1:${port}/`;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
