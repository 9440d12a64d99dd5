// Primacron's client for browsers: Engine.IO 4 over websocket and long polling, in one file.
//
//   import { connect } from "/stream/primacron.js";
//
//   const socket = connect({ account: "lobby" });
//   socket.on("said", (name, text) => console.log(name, text));
//   socket.emit("wave");
//   const [id] = await socket.request("say", "hello");

/**
 * @typedef {"websocket" | "polling"} TransportName
 * @typedef {"connecting" | "connected" | "reconnecting" | "closed"} State
 *
 * @typedef {object} Options
 * @property {string} [account] Whom the connection belongs to, unless the server knows by itself.
 * @property {Record<string, string>} [query] More parameters for the server.
 * @property {string} [path] Where the endpoint is; `/stream/`.
 * @property {string | URL} [url] The server, when it is not the one that the page came from.
 * @property {TransportName[]} [transports] What to speak, tried in this order; websocket, then polling. A
 *   connection that begins with polling goes over to a websocket when one can be had, if it is in the list.
 * @property {RequestCredentials} [credentials] Whether polling sends cookies, as of `fetch`; `same-origin`.
 * @property {number} [openTimeout] Milliseconds until the next transport is tried; 5,000.
 * @property {number} [requestTimeout] Milliseconds until a request is given up; 10,000.
 * @property {number} [buffer] How many messages wait while there is no connection; 256. One more, and the
 *   oldest is dropped.
 * @property {{ min?: number, max?: number }} [backoff] Milliseconds before the first try to reconnect, and at
 *   most; 500 and 15,000. Each try waits twice as long as the one before, less a random part up to half.
 *
 * @typedef {object} StateChange What a `statechange` event has as its `detail`.
 * @property {State} state
 * @property {State} previous
 * @property {string} [reason] Why there is no connection.
 * @property {number} [delay] Milliseconds until the next try.
 *
 * @typedef {object} Dropped What a `drop` event has as its `detail`: a message that will not be sent.
 * @property {string} event
 * @property {string} reason
 *
 * @typedef {object} Handshake
 * @property {string} sid
 * @property {string[]} upgrades
 * @property {number} pingInterval
 * @property {number} pingTimeout
 * @property {number} maxPayload
 * @property {string} [session]
 * @property {string} [account]
 *
 * @typedef {object} Outgoing A message that waits to be sent.
 * @property {string} packet
 * @property {string} event
 * @property {number} [id]
 *
 * @typedef {object} Pending A request that waits for its answer.
 * @property {(args: any[]) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {ReturnType<typeof setTimeout>} timer
 *
 * @typedef {object} Ear What a transport tells.
 * @property {(packet: string) => void} packet
 * @property {() => void} writable
 * @property {(reason: string, refused?: boolean) => void} end
 */

/** What separates packets in the body of a request. */
const SEPARATOR = "\x1e";

/** How many packets one POST carries: well below what a server takes. */
const PACKETS = 256;

/** Milliseconds that a connection must have held for the next one to be tried without patience. */
const STEADY = 5000;

/** Milliseconds for the steps of an upgrade. */
const UPGRADE_TIMEOUT = 10_000;

/** The close code of a websocket for a message that was too large. */
const TOO_LARGE = 1009;

const encoder = new TextEncoder();

/**
 * Connects to a server, and again whenever the connection is lost, until `close` is called.
 *
 * @param {Options} [options]
 */
export function connect(options = {}) {
  return new Socket(options);
}

/** A request failed: the server refused it, the connection was lost before the answer, or it took too long. */
export class RequestError extends Error {
  /**
   * @param {string} message
   * @param {"refused" | "disconnected" | "timeout" | "dropped" | "closed"} code
   */
  constructor(message, code) {
    super(message);
    this.name = "RequestError";
    /** Why. Only a request that was `refused` or `dropped` is known not to have taken effect. */
    this.code = code;
  }
}

/**
 * A connection that comes back. It tells about itself by the DOM events `statechange` (see `StateChange`)
 * and `drop` (see `Dropped`); what the server sends is heard by `on`.
 *
 * Messages keep their order. One that was under way when the connection was lost may or may not have
 * arrived, and is not sent again; those that were not yet sent wait for the next connection.
 */
export class Socket extends EventTarget {
  /** @type {Options & { transports: TransportName[], backoff: { min: number, max: number } }} */
  #options;
  /** @type {State} */
  #state = "connecting";
  /** @type {Link | null} */
  #link = null;
  /** @type {Outgoing[]} */
  #queue = [];
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** @type {Map<string, Set<(...args: any[]) => void>>} */
  #listeners = new Map();
  #lastId = 0;
  #attempts = 0;
  #connectedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Options} options */
  constructor(options) {
    super();
    const { transports = ["websocket", "polling"], backoff = {} } = options;
    const { min = 500, max = 15_000 } = backoff;
    this.#options = { ...options, transports, backoff: { min, max } };
    // What can never be connected to fails here, and not in a timer later.
    if (transports.length === 0) throw new TypeError("transports must not be empty");
    urlOf(this.#options, transports[0]);
    globalThis.addEventListener?.("online", this.#hurry);
    this.#attempt(0);
  }

  /** Where the connection stands. */
  get state() {
    return this.#state;
  }

  /** The transport that carries the connection, if there is one. */
  get transport() {
    return this.#state === "connected" ? (this.#link?.name ?? null) : null;
  }

  /** The account as the server knows it, once connected. */
  get account() {
    return this.#link?.handshake?.account ?? null;
  }

  /** The server's public id of this connection, another one after each reconnect. */
  get session() {
    return this.#link?.handshake?.session ?? null;
  }

  /**
   * Calls a function with the arguments of every event of this name.
   *
   * @param {string} event
   * @param {(...args: any[]) => void} listener
   * @returns {() => void} Ends it.
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => this.off(event, listener);
  }

  /**
   * Ends what `on` began.
   *
   * @param {string} event
   * @param {(...args: any[]) => void} listener
   */
  off(event, listener) {
    this.#listeners.get(event)?.delete(listener);
  }

  /**
   * Sends an event. Without a connection it waits for the next one.
   *
   * @param {string} event
   * @param {...any} args
   */
  emit(event, ...args) {
    this.#push({ event, packet: `4${JSON.stringify({ event, args })}` });
  }

  /**
   * Sends an event and asks for an answer.
   *
   * @param {string} event
   * @param {...any} args
   * @returns {Promise<any[]>} The arguments of the answer, or a `RequestError`.
   */
  request(event, ...args) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      // First, because what cannot be expressed in JSON fails here.
      const packet = `4${JSON.stringify({ event, args, id })}`;
      const late = () => this.#settle(id, new RequestError("no answer in time", "timeout"));
      const timer = setTimeout(late, this.#options.requestTimeout ?? 10_000);
      this.#pending.set(id, { resolve, reject, timer });
      this.#push({ event, packet, id });
    });
  }

  /** Ends the connection for good, until `open` is called. What was not sent is dropped. */
  close() {
    this.#finish("closed by this side");
  }

  /** Connects again after the connection was closed. */
  open() {
    if (this.#state !== "closed") return;
    this.#attempts = 0;
    globalThis.addEventListener?.("online", this.#hurry);
    this.#become("connecting");
    this.#attempt(0);
  }

  /** @param {Outgoing} message */
  #push(message) {
    if (this.#state === "closed") return this.#drop(message, "the connection is closed");
    this.#queue.push(message);
    if (this.#state === "connected") this.#link?.flush();
    else this.#trim();
  }

  #trim() {
    while (this.#queue.length > (this.#options.buffer ?? 256)) {
      const [oldest] = this.#queue.splice(0, 1);
      this.#drop(oldest, "too many messages wait for a connection");
    }
  }

  /**
   * @param {Outgoing} message
   * @param {string} reason
   */
  #drop(message, reason) {
    const { event, id } = message;
    if (id !== undefined) this.#settle(id, new RequestError(reason, "dropped"));
    else this.dispatchEvent(new CustomEvent("drop", { detail: { event, reason } }));
  }

  /**
   * @param {number} id
   * @param {any[] | Error} outcome
   */
  #settle(id, outcome) {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    // One that was given up must not take effect later.
    const waiting = this.#queue.findIndex((message) => message.id === id);
    if (waiting >= 0) this.#queue.splice(waiting, 1);
    if (outcome instanceof Error) pending.reject(outcome);
    else pending.resolve(outcome);
  }

  /** @param {number} index Of the transport to try. */
  #attempt(index) {
    clearTimeout(this.#timer);
    const { transports } = this.#options;
    const link = new Link(transports[index], this.#options, this.#queue, {
      opened: () => {
        this.#connectedAt = performance.now();
        this.#become("connected");
        link.flush();
      },
      message: (text) => this.#hear(text),
      dropped: (message, reason) => this.#drop(message, reason),
      ended: (reason, refused) => {
        this.#link = null;
        if (!refused && !link.handshake && index + 1 < transports.length) this.#attempt(index + 1);
        else if (refused) this.#finish(reason);
        else this.#lost(reason);
      },
    });
    this.#link = link;
  }

  /** @param {string} reason */
  #lost(reason) {
    if (this.#state === "connected" && performance.now() - this.#connectedAt > STEADY) this.#attempts = 0;
    const { min, max } = this.#options.backoff;
    const longest = Math.min(max, min * 2 ** this.#attempts++);
    const delay = longest * (1 - Math.random() / 2);
    this.#timer = setTimeout(() => this.#attempt(0), delay);
    this.#forgetSent("the connection was lost", "disconnected");
    this.#trim();
    this.#become("reconnecting", { reason, delay });
  }

  /** @param {string} reason */
  #finish(reason) {
    if (this.#state === "closed") return;
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("online", this.#hurry);
    this.#link?.close();
    this.#link = null;
    this.#become("closed", { reason });
    for (const message of this.#queue.splice(0)) this.#drop(message, "the connection is closed");
    this.#forgetSent("the connection is closed", "closed");
  }

  /**
   * Requests whose answer will not come any more.
   *
   * @param {string} reason
   * @param {"disconnected" | "closed"} code
   */
  #forgetSent(reason, code) {
    const waiting = new Set(this.#queue.map((message) => message.id));
    for (const id of [...this.#pending.keys()]) {
      if (!waiting.has(id)) this.#settle(id, new RequestError(reason, code));
    }
  }

  /** The network is back: there is nothing to wait for. */
  #hurry = () => {
    if (this.#state === "reconnecting" && !this.#link) this.#attempt(0);
  };

  /**
   * @param {State} state
   * @param {{ reason?: string, delay?: number }} [why]
   */
  #become(state, why = {}) {
    const previous = this.#state;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("statechange", { detail: { state, previous, ...why } }));
  }

  /** @param {string} text */
  #hear(text) {
    const message = parse(text);
    if (message === null || typeof message !== "object" || Array.isArray(message)) {
      return this.#tell("message", [message ?? text]);
    }
    const { event, id, args, error } = message;
    if (typeof event === "string") this.#tell(event, Array.isArray(args) ? args : []);
    else if (typeof id !== "number") this.#tell("message", [message]);
    else if (error === undefined) this.#settle(id, Array.isArray(args) ? args : []);
    else this.#settle(id, new RequestError(String(error), "refused"));
  }

  /**
   * @param {string} event
   * @param {any[]} args
   */
  #tell(event, args) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(...args);
      } catch (error) {
        // A fault of the page is shown as one, and is none of the connection.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/**
 * One connection, from the first request to the end, over whatever transports.
 *
 * @typedef {object} Owner
 * @property {() => void} opened
 * @property {(text: string) => void} message
 * @property {(message: Outgoing, reason: string) => void} dropped
 * @property {(reason: string, refused?: boolean) => void} ended
 */
class Link {
  /** @type {Handshake | null} */
  handshake = null;
  #options;
  #queue;
  #owner;
  /** @type {string[]} Packets of the protocol, which go before all messages. */
  #control = [];
  /** @type {WebSocketTransport | PollingTransport} */
  #transport;
  /** @type {WebSocketTransport | null} */
  #candidate = null;
  #heardAt = performance.now();
  #isPaused = false;
  #isOver = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {TransportName} name
   * @param {Options & { transports: TransportName[] }} options
   * @param {Outgoing[]} queue
   * @param {Owner} owner
   */
  constructor(name, options, queue, owner) {
    this.#options = options;
    this.#queue = queue;
    this.#owner = owner;
    this.#timer = setTimeout(() => this.#end("no answer in time"), options.openTimeout ?? 5000);
    const url = urlOf(options, name);
    const ear = this.#ear();
    this.#transport =
      name === "websocket" ? new WebSocketTransport(url, ear) : new PollingTransport(url, ear, options.credentials);
  }

  get name() {
    return this.#transport.name;
  }

  /** Gives the transport as much as it takes. */
  flush() {
    while (this.handshake && this.#transport.isWritable && !this.#isPaused) {
      const packets = this.#batch(this.handshake.maxPayload);
      if (packets.length === 0) return;
      this.#transport.send(packets);
    }
  }

  close() {
    if (this.handshake && !this.#isPaused) this.#transport.say(["1"]);
    this.#silence();
  }

  /** @returns {Ear} */
  #ear() {
    return {
      packet: (packet) => this.#hear(packet),
      writable: () => this.flush(),
      end: (reason, refused) => this.#end(reason, refused),
    };
  }

  /**
   * As many packets as one sending may carry.
   *
   * @param {number} maxPayload
   */
  #batch(maxPayload) {
    const packets = this.#control.splice(0);
    let room = this.#transport.name === "polling" ? maxPayload : Infinity;
    for (const packet of packets) room -= packet.length + 1;
    while (this.#queue.length > 0 && packets.length < PACKETS) {
      const next = this.#queue[0];
      const size = sizeOf(next.packet, Math.min(room, maxPayload));
      if (size > maxPayload) {
        this.#queue.shift();
        this.#owner.dropped(next, `a message has at most ${maxPayload} bytes`);
        continue;
      }
      if (size > room) break;
      room -= size + 1;
      packets.push(next.packet);
      this.#queue.shift();
    }
    return packets;
  }

  /** @param {string} packet */
  #hear(packet) {
    this.#heardAt = performance.now();
    const data = packet.slice(1);
    switch (packet[0]) {
      case "0":
        return this.#open(data);
      case "1":
        return this.#end("closed by the server");
      case "2":
        this.#control.push(`3${data}`);
        return this.flush();
      case "4":
        return this.#owner.message(data);
    }
  }

  /** @param {string} data */
  #open(data) {
    const handshake = parse(data);
    if (this.handshake || typeof handshake?.sid !== "string") return this.#end("not an Engine.IO server");
    this.handshake = handshake;
    this.#transport.sid = handshake.sid;
    clearTimeout(this.#timer);
    this.#watch();
    this.#owner.opened();
    if (this.#isOver) return;
    const { transports } = this.#options;
    const isBetter = this.name === "polling" && transports.includes("websocket");
    if (isBetter && handshake.upgrades?.includes("websocket")) this.#upgrade(handshake.sid);
  }

  /** A server that is not heard of for an interval and a timeout is gone. */
  #watch() {
    if (!this.handshake) return;
    const patience = this.handshake.pingInterval + this.handshake.pingTimeout;
    const left = this.#heardAt + patience - performance.now();
    if (left <= 0) return this.#end("the server was not heard of");
    this.#timer = setTimeout(() => this.#watch(), left);
  }

  /**
   * Tries a websocket beside polling. Polling carries on until the websocket has proved itself, stands still
   * while the server changes over, and carries on when that fails.
   *
   * @param {string} sid
   */
  #upgrade(sid) {
    const polling = /** @type {PollingTransport} */ (this.#transport);
    const fail = () => {
      clearTimeout(timer);
      if (this.#candidate !== candidate) return;
      candidate.close();
      this.#candidate = null;
      this.#isPaused = false;
      polling.resume();
    };
    const timer = setTimeout(fail, UPGRADE_TIMEOUT);
    const candidate = new WebSocketTransport(urlOf(this.#options, "websocket", sid), {
      writable: () => candidate.send(["2probe"]),
      end: fail,
      packet: (packet) => {
        if (packet !== "3probe" || this.#isPaused) return;
        this.#isPaused = true;
        polling.pause().then(() => {
          if (this.#candidate !== candidate) return;
          clearTimeout(timer);
          polling.close();
          this.#candidate = null;
          this.#transport = candidate;
          candidate.listen(this.#ear());
          candidate.send(["5"]);
          this.#isPaused = false;
          this.flush();
        });
      },
    });
    this.#candidate = candidate;
  }

  /**
   * @param {string} reason
   * @param {boolean} [refused]
   */
  #end(reason, refused) {
    this.#silence();
    this.#owner.ended(reason, refused);
  }

  #silence() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#transport.close();
    this.#candidate?.close();
    this.#candidate = null;
  }
}

/** @type {Ear} */
const NOBODY = { packet() {}, writable() {}, end() {} };

/** Packets as the messages of a websocket. */
class WebSocketTransport {
  /** @type {TransportName} */
  name = "websocket";
  sid = "";
  /** @type {WebSocket | null} */
  #socket = null;
  #ear;

  /**
   * @param {URL} url
   * @param {Ear} ear
   */
  constructor(url, ear) {
    this.#ear = ear;
    try {
      this.#socket = new WebSocket(url);
    } catch (error) {
      // A page over https may not open it without TLS.
      queueMicrotask(() => this.#ear.end(String(error)));
      return;
    }
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#ear.writable();
    this.#socket.onclose = ({ code }) =>
      this.#ear.end(code === TOO_LARGE ? "a message was too large" : `the websocket closed (${code})`);
    this.#socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.#ear.packet(data);
    };
  }

  get isWritable() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** @param {Ear} ear */
  listen(ear) {
    this.#ear = ear;
  }

  /** @param {string[]} packets */
  send(packets) {
    for (const packet of packets) this.#socket?.send(packet);
  }

  /** @param {string[]} packets */
  say(packets) {
    if (this.isWritable) this.send(packets);
  }

  close() {
    this.#ear = NOBODY;
    this.#socket?.close();
  }
}

/** Packets in the bodies of requests: a GET that the server holds, and one POST at a time. */
class PollingTransport {
  /** @type {TransportName} */
  name = "polling";
  sid = "";
  #url;
  #ear;
  #credentials;
  #abort = new AbortController();
  #isGetting = false;
  #isPosting = false;
  /** @type {(() => void) | null} Called when nothing is under way. */
  #paused = null;

  /**
   * @param {URL} url
   * @param {Ear} ear
   * @param {RequestCredentials} [credentials]
   */
  constructor(url, ear, credentials = "same-origin") {
    this.#url = url;
    this.#ear = ear;
    this.#credentials = credentials;
    this.#poll();
  }

  get isWritable() {
    return this.sid !== "" && !this.#isPosting && !this.#paused;
  }

  /** @param {string[]} packets */
  async send(packets) {
    this.#isPosting = true;
    const answered = await this.#fetch({ method: "POST", body: packets.join(SEPARATOR) });
    this.#isPosting = false;
    if (answered === null) return;
    this.#rest();
    this.#ear.writable();
  }

  /** @param {string[]} packets */
  say(packets) {
    const body = packets.join(SEPARATOR);
    const farewell = { method: "POST", body, keepalive: true, credentials: this.#credentials };
    fetch(this.#address(), farewell).catch(() => {});
  }

  /** Lets what is under way end, and begins nothing more. */
  pause() {
    return new Promise((/** @type {(_?: undefined) => void} */ resolve) => {
      this.#paused = resolve;
      this.#rest();
    });
  }

  resume() {
    if (!this.#paused) return;
    this.#paused = null;
    if (!this.#isGetting) this.#poll();
    this.#ear.writable();
  }

  close() {
    this.#ear = NOBODY;
    this.#abort.abort();
  }

  async #poll() {
    this.#isGetting = true;
    while (!this.#paused) {
      const body = await this.#fetch({});
      if (body === null) return;
      for (const packet of body.split(SEPARATOR)) this.#ear.packet(packet);
    }
    this.#isGetting = false;
    this.#rest();
  }

  #rest() {
    if (!this.#isGetting && !this.#isPosting) this.#paused?.();
  }

  /**
   * The body of the answer; `null` when the connection has ended by it.
   *
   * @param {RequestInit} request
   */
  async #fetch(request) {
    try {
      const { signal } = this.#abort;
      const options = { ...request, signal, cache: /** @type {const} */ ("no-store"), credentials: this.#credentials };
      const response = await fetch(this.#address(), options);
      const body = await response.text();
      if (response.ok) return signal.aborted ? null : body;
      const error = parse(body);
      // A handshake that the server understood and does not want: asking again would not help.
      const refused = this.sid === "" && response.status < 500 && typeof error?.code === "number";
      this.#ear.end(String(error?.message ?? `HTTP ${response.status}`), refused);
    } catch (error) {
      this.#ear.end(error instanceof Error ? error.message : String(error));
    }
    return null;
  }

  #address() {
    const url = new URL(this.#url);
    if (this.sid !== "") url.searchParams.set("sid", this.sid);
    return url;
  }
}

/**
 * The address of the endpoint for a transport.
 *
 * @param {Options} options
 * @param {TransportName} transport
 * @param {string} [sid]
 */
function urlOf(options, transport, sid) {
  const base = options.url ?? globalThis.location?.href;
  const url = new URL(options.path ?? "/stream/", base);
  if (transport === "websocket") url.protocol = url.protocol.replace("http", "ws");
  const given = options.account === undefined ? {} : { account: options.account };
  const query = { ...options.query, ...given, EIO: "4", transport, ...(sid === undefined ? {} : { sid }) };
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

/**
 * Bytes of a text in UTF-8; not exact where it surely fits.
 *
 * @param {string} text
 * @param {number} limit
 */
function sizeOf(text, limit) {
  return text.length * 3 <= limit ? text.length * 3 : encoder.encode(text).length;
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
