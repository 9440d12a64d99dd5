// A proxy of HTTP between browser and server. It can fall silent, and refuse websockets, not answer them, or drop
// them after the first message of the server.
import { Agent, createServer, request } from "node:http";

/** Starts a proxy to `target` on a free port. It ends with the test `t`. */
export async function startProxy(t, target, options = {}) {
  const proxy = new Proxy(target, options);
  t.after(() => proxy.stop());
  await proxy.listen();
  return proxy;
}

class Proxy {
  /** What the browser asked for: method, transport, bytes of the body. */
  requests = [];
  #target;
  #upgrades;
  #isSilent = false;
  #dropped = null;
  #sockets = new Set();
  #agent = new Agent({ keepAlive: true });
  #server = createServer((incoming, answer) => this.#forward(incoming, answer));

  constructor(target, { upgrades = "pass" }) {
    this.#target = target;
    this.#upgrades = upgrades;
    this.#server.on("connection", (socket) => this.#keep(socket));
    this.#server.on("upgrade", (incoming, socket, head) => this.#upgrade(incoming, socket, head));
  }

  async listen() {
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** From now on nothing passes in either direction, and no connection is closed. */
  fallSilent() {
    this.#isSilent = true;
    for (const socket of this.#sockets) socket.pause();
  }

  speak() {
    this.#isSilent = false;
    for (const socket of this.#sockets) socket.resume();
  }

  async stop() {
    this.#agent.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    if (this.#isSilent) socket.pause();
  }

  #ask(incoming) {
    const { method, headers } = incoming;
    const asked = request(new URL(incoming.url, this.#target), { method, headers, agent: this.#agent });
    asked.on("error", () => incoming.socket.destroy());
    return asked;
  }

  async #forward(incoming, answer) {
    const body = [];
    for await (const part of incoming) body.push(part);
    const bytes = Buffer.concat(body);
    const transport = new URL(incoming.url, this.#target).searchParams.get("transport");
    this.requests.push({ method: incoming.method, transport, bytes: bytes.length });
    const asked = this.#ask(incoming);
    answer.on("close", () => asked.destroy());
    asked.on("response", async (response) => {
      if (incoming.method === "GET") await this.#dropped;
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    asked.end(bytes);
  }

  /** Ends a websocket with the answer to its probe. Until it is closed no poll is answered, so it cannot take over. */
  #drop(socket, probed) {
    this.#dropped = new Promise((resolve) => socket.once("close", resolve));
    socket.end(probed);
  }

  #upgrade(incoming, socket, head) {
    if (this.#upgrades === "refuse") return socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
    if (this.#upgrades === "ignore") return;
    const asked = this.#ask(incoming);
    asked.on("upgrade", (response, server, early) => {
      this.#keep(server);
      const headers = Object.entries(response.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers.join("")}\r\n`);
      socket.write(early);
      server.write(head);
      if (this.#upgrades === "drop") server.once("data", (probed) => this.#drop(socket, probed));
      else server.pipe(socket);
      socket.pipe(server);
    });
    asked.on("response", (response) => response.pipe(socket));
    asked.end();
  }
}
