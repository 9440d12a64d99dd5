// One engine.io-client connection, with what it heard and ways to wait for more.
import { EventEmitter } from "node:events";
import { Socket } from "engine.io-client";

export const TRANSPORTS = ["polling", "websocket"];

const DEADLINE_MS = 30_000;

export class Client {
  received = [];
  pings = 0;
  handshake = null;
  upgraded = false;
  error = null;
  refusal = null;
  closed = null;
  #changes = new EventEmitter().setMaxListeners(0);

  /** `options` are those of engine.io-client, and `account`: null leaves it out. */
  constructor(url, { account = "ann", ...options } = {}) {
    const query = account === null ? {} : { account };
    this.socket = new Socket(url, { path: "/stream/", query, ...options });
    this.#note("handshake", (handshake) => (this.handshake = handshake));
    this.#note("open", () => {});
    this.#note("upgrade", () => (this.upgraded = true));
    this.#note("ping", () => this.pings++);
    this.#note("message", (data) => this.received.push(data));
    this.#note("error", (error) => {
      this.error = error;
      this.refusal = refusalOf(error);
    });
    this.#note("close", (reason) => (this.closed = reason));
  }

  emit(event, ...args) {
    this.socket.send(JSON.stringify({ event, args }));
  }

  /** Takes the next `count` messages as they came. */
  async messages(count) {
    await this.until(() => this.received.length >= count);
    return this.received.splice(0, count);
  }

  /** Takes the next `count` messages as events. */
  async events(count) {
    return (await this.messages(count)).map((text) => JSON.parse(text));
  }

  /** Waits for a condition; a connection that closes first is a failure. */
  until(condition) {
    return new Promise((resolve, reject) => {
      const settle = (outcome, value) => {
        clearTimeout(deadline);
        this.#changes.off("change", look);
        outcome(value);
      };
      const fail = (why) => settle(reject, new Error(`${why}, waiting for ${condition}; ${this.#state()}`));
      const look = () => {
        if (condition()) settle(resolve);
        else if (this.closed) fail(`closed by "${this.closed}"`);
      };
      const deadline = setTimeout(() => fail("too late"), DEADLINE_MS);
      this.#changes.on("change", look);
      look();
    });
  }

  async close() {
    this.socket.close();
    await this.until(() => this.closed);
  }

  #note(event, apply) {
    this.socket.on(event, (value) => {
      apply(value);
      this.#changes.emit("change");
    });
  }

  #state() {
    return `${this.socket.readyState} over ${this.socket.transport?.name}, ${this.received.length} messages unread`;
  }
}

/** The HTTP answer behind an error of polling; the client forgets it right after the event. */
function refusalOf({ description: status, context: xhr }) {
  if (!(status > 0)) return null;
  return { status, type: xhr.getResponseHeader("content-type"), body: xhr.responseText };
}
