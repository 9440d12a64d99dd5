// The page of the cluster: every client in it is a connection of its own to one of the servers.
import { connect } from "/stream/primacron.js";

const NAMES = ["Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ian", "Jo", "Kim", "Leo", "Mia", "Noor", "Oz"];
const TEXTS = ["Hello", "Are you there?", "Coffee?", "On my way", "Nice", "Look at this", "Five minutes", "Done"];
const AT_FIRST = 2;
const SHOWN = 60;

/** Milliseconds: a leg of a message's way, how long a text stands, until a client looks for another server, between two texts. */
const LEG = 480;
const SPOKEN = 1900;
const PATIENCE = 700;
const PACE = 800;

/** What becomes of a message, in words. */
const MEANING = {
  written: "given to the other client",
  enqueued: "in the queue of the other client",
  no_session: "that client is connected nowhere",
  uncertain: "nobody knows for sure where that client is, so nothing was sent",
  node_gone: "its server is dead, so nothing was sent",
  refused: "surely not delivered",
  unknown: "sent, and no answer came: delivered at most once, perhaps",
  lost: "the sender lost its own server first",
};

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));
const still = matchMedia("(prefers-reduced-motion: reduce)");
const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));

/** Other windows have clients of the same names; this tells ours from theirs. */
const session = `page-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;

const servers = [];
const clients = new Map();
let chosen = null;
let traffic = null;

// Servers.

class Server {
  constructor(index) {
    const card = page.server.content.cloneNode(true).firstElementChild;
    const part = (name) => card.querySelector(name);
    this.index = index;
    this.name = `Server ${index + 1}`;
    this.card = card;
    this.list = part(".clients");
    this.state = "unknown";
    card.setAttribute("aria-label", this.name);
    part("h2").textContent = this.name;
    part(".add").addEventListener("click", () => add(this));
    part(".move").addEventListener("click", () => chosen?.moveTo(this));
    for (const what of ["drain", "kill", "start"]) part(`.${what}`).addEventListener("click", () => ask(what, this));
    page.servers.append(card);
  }

  show({ port, id, state, wasKilled, sees }) {
    const before = this.state;
    [this.port, this.id, this.state] = [port, id, state];
    this.card.dataset.state = state;
    this.card.querySelector(".port").textContent = `:${port}`;
    this.card.querySelector(".note").textContent = { down: "Not running", ending: "Its clients leave one by one" }[state] ?? "";
    this.card.querySelector(".views").replaceChildren(...sees.flatMap((seen, other) => (other === this.index ? [] : [this.#view(seen, other)])));
    if (state === before) return;
    if (state === "up") note("up", this.name, ` runs as node ${id.slice(0, 6)}.`);
    if (state === "down") note("down", this.name, wasKilled ? " was killed. Nobody was told." : " has ended, and all know.");
    if (state === "down") this.card.animate([{ transform: "none" }, { transform: "scale(.985)" }, { transform: "none" }], 300);
  }

  /** What this server thinks of another one. */
  #view(seen, other) {
    const view = document.createElement("span");
    view.dataset.seen = seen ?? "unknown";
    view.textContent = other + 1;
    view.title = `${this.name} thinks that server ${other + 1} is ${{ live: "alive", suspect: "perhaps dead", gone: "gone" }[seen] ?? "unknown"}`;
    return view;
  }

  get isUp() {
    return this.state === "up";
  }

  get url() {
    return `http://${location.hostname}:${this.port}/`;
  }
}

const hue = (name) => (NAMES.indexOf(name) * 67 + 255) % 360;
const live = () => servers.filter((server) => server.isUp);
const crowd = (server) => [...clients.values()].filter((client) => client.server === server).length;

async function ask(what, server) {
  try {
    showState((await director.request(what, server.index))[0]);
  } catch (error) {
    note("bad", server.name, `: ${error.message}`);
  }
}

// Clients.

class Client {
  constructor(name, server) {
    this.name = name;
    this.hue = hue(name);
    this.item = document.createElement("li");
    this.chip = document.createElement("button");
    this.chip.type = "button";
    this.chip.className = "client";
    this.chip.style.setProperty("--hue", this.hue);
    this.chip.setAttribute("aria-pressed", "false");
    const [face, label] = [document.createElement("span"), document.createElement("span")];
    face.className = "face";
    face.ariaHidden = "true";
    face.textContent = name[0];
    label.textContent = name;
    this.chip.append(face, label);
    this.chip.addEventListener("click", () => choose(this));
    this.item.append(this.chip);
    this.#join(server);
  }

  get isConnected() {
    return this.socket?.state === "connected";
  }

  #join(server) {
    this.socket?.close();
    this.server = server;
    this.url = server.url;
    server.list.append(this.item);
    this.socket = connect({
      account: this.name,
      query: { session },
      url: this.url,
      transports: ["websocket"],
      backoff: { min: 300, max: 1000 },
    });
    const { socket } = this;
    socket.on("said", (from, text) => this.hear(from, text));
    socket.addEventListener("statechange", () => socket === this.socket && this.#change());
    this.#change();
  }

  #change() {
    this.chip.dataset.state = this.socket.state;
    clearTimeout(this.search);
    if (!this.isConnected) this.search = setTimeout(() => this.#search(), PATIENCE);
  }

  /** As a balancer would: to the server with the fewest clients that runs. */
  #search() {
    const [found] = live().sort((one, other) => crowd(one) - crowd(other));
    if (found && found.url !== this.url) this.moveTo(found);
    else this.search = setTimeout(() => this.#search(), PATIENCE);
  }

  moveTo(server) {
    const from = this.chip.getBoundingClientRect();
    this.#join(server);
    const to = this.chip.getBoundingClientRect();
    const moved = `translate(${from.x - to.x}px, ${from.y - to.y}px)`;
    if (!still.matches) this.chip.animate([{ transform: moved }, { transform: "none" }], { duration: 600, easing: "cubic-bezier(.3, .9, .3, 1)" });
    showChoice();
  }

  hear(from, text) {
    const waiting = flights.get(`${from} ${this.name} ${text}`)?.shift();
    if (waiting) waiting();
    else this.show(from, text);
  }

  /** Shows what was heard, in the colour of who said it. */
  async show(from, text) {
    this.bubble?.remove();
    const bubble = (this.bubble = document.createElement("span"));
    bubble.className = "bubble";
    bubble.textContent = text;
    bubble.style.setProperty("--hue", hue(from));
    this.item.append(bubble);
    this.chip.classList.add("heard");
    await wait(SPOKEN);
    bubble.remove();
    if (this.bubble === bubble) this.chip.classList.remove("heard");
  }
}

function add(server) {
  const name = NAMES.find((name) => !clients.has(name));
  if (name) clients.set(name, new Client(name, server));
  showChoice();
}

/** The first that is chosen speaks, to each that is chosen after that. */
function choose(client) {
  if (chosen && chosen !== client) return void send(chosen, client, page.text.value.trim() || "Hello");
  chosen = chosen ? null : client;
  showChoice();
}

function showChoice() {
  page.app.classList.toggle("choosing", Boolean(chosen));
  for (const client of clients.values()) client.chip.setAttribute("aria-pressed", String(client === chosen));
  for (const server of servers) {
    const mayMove = Boolean(chosen) && chosen.server !== server && server.isUp;
    server.card.querySelector(".move").hidden = !mayMove;
    server.card.querySelector(".add").hidden = mayMove || clients.size === NAMES.length;
  }
  page.hint.textContent = chosen ? `${chosen.name} speaks. To whom?` : "Pick a client to speak, and then who shall hear it. Or kill a server.";
}

// Messages on their way.

/** Who waits until a text arrives, by sender, receiver and text: its picture travels slower than the text itself. */
const flights = new Map();

async function send(from, to, text) {
  const key = `${from.name} ${to.name} ${text}`;
  const arrived = new Promise((resolve) => {
    flights.set(key, [...(flights.get(key) ?? []), resolve]);
  });
  const answer = from.socket.request("say", to.name, text).catch(() => ["lost", null]);
  const dot = launch(from.hue);
  const [out, back] = [from.server, to.server];
  const crosses = () => to.server !== out;
  await fly(dot, [middle(from.chip), ...(crosses() ? [bend(from), gate(out), rail(out)] : [bend(from)])]);
  dot.classList.add("waiting");
  const [outcome, micros] = await answer;
  dot.classList.remove("waiting");
  const landed = ["written", "enqueued"].includes(outcome) && (await Promise.race([arrived.then(() => true), wait(SPOKEN)]));
  if (landed) {
    const target = to.server;
    await fly(dot, [...(crosses() ? [rail(target), gate(target)] : []), bend(to), middle(to.chip)]);
    dot.remove();
    to.show(from.name, text);
  } else {
    forget(key);
    fizzle(dot);
  }
  tell(from, to, text, { outcome, micros, out, back });
}

function forget(key) {
  flights.get(key)?.pop();
}

async function sendToAll() {
  const from = chosen ?? [...clients.values()].find((client) => client.isConnected);
  if (!from) return;
  const text = page.text.value.trim() || "Hello";
  const dot = launch(from.hue);
  const out = from.server;
  const listening = [...clients.values()].filter((client) => client.isConnected);
  const heard = listening.map((client) => {
    const key = `${from.name} ${client.name} ${text}`;
    return new Promise((resolve) => flights.set(key, [...(flights.get(key) ?? []), () => resolve(client)]));
  });
  const answer = from.socket.request("all", text).catch(() => ["lost", null]);
  await fly(dot, [middle(from.chip), bend(from), gate(out), rail(out)]);
  const [reached, micros] = await answer;
  dot.remove();
  if (reached === "lost") {
    for (const client of listening) forget(`${from.name} ${client.name} ${text}`);
    return tell(from, null, text, { outcome: "lost", micros, out });
  }
  for (const one of heard) one.then((client) => land(from, client, out, text));
  tell(from, null, text, { outcome: "written", reached, micros, out });
}

async function land(from, client, out, text) {
  const dot = launch(from.hue);
  await fly(dot, [rail(out), rail(client.server), gate(client.server), bend(client), middle(client.chip)]);
  dot.remove();
  client.show(from.name, text);
}

function launch(hue) {
  const dot = document.createElement("i");
  dot.style.setProperty("--hue", hue);
  page.air.append(dot);
  return dot;
}

/** Moves a dot along a line, at one speed. */
async function fly(dot, points) {
  const length = (one, other) => Math.hypot(other.x - one.x, other.y - one.y);
  const first = dot.at ? [dot.at, ...points] : points;
  const steps = first.map((point, index) => (index ? length(first[index - 1], point) : 0));
  const total = steps.reduce((sum, step) => sum + step, 0) || 1;
  let gone = 0;
  const frames = first.map(({ x, y }, index) => ({ transform: `translate(${x}px, ${y}px)`, offset: Math.min(1, (gone += steps[index]) / total) }));
  dot.at = first.at(-1);
  frames.at(-1).offset = 1;
  const duration = still.matches ? 1 : LEG;
  await dot.animate(frames, { duration, fill: "forwards", easing: "ease-in-out" }).finished;
}

async function fizzle(dot) {
  dot.classList.add("failed");
  await wait(900);
  dot.remove();
}

/** Places, as seen from the stage. */
function place(x, y) {
  const stage = page.stage.getBoundingClientRect();
  return { x: x - stage.x, y: y - stage.y };
}

function middle(chip) {
  const box = chip.querySelector(".face").getBoundingClientRect();
  return place(box.x + box.width / 2, box.y + box.height / 2);
}

/** Beside a client, above the way out of its server. */
function bend(client) {
  return { x: gate(client.server).x, y: middle(client.chip).y };
}

function gate(server) {
  const box = server.card.getBoundingClientRect();
  return place(box.x + box.width / 2, box.bottom);
}

function rail(server) {
  const box = page.common.parentElement.getBoundingClientRect();
  const card = server.card.getBoundingClientRect();
  return place(card.x + card.width / 2, box.y + box.height / 2);
}

// What happened, the newest first.

function tell(from, to, text, { outcome, reached, micros, out, back }) {
  const line = document.createElement("li");
  line.dataset.outcome = outcome;
  const who = (name, server) => {
    const part = document.createElement("b");
    part.textContent = name;
    const at = document.createElement("small");
    at.textContent = server ? server.index + 1 : "";
    return [part, at];
  };
  const said = document.createElement("q");
  said.textContent = text;
  const badge = document.createElement("span");
  badge.className = "outcome";
  badge.textContent = reached === undefined ? outcome.replace("_", " ") : `${reached} reached`;
  badge.title = MEANING[outcome] ?? "";
  const time = document.createElement("time");
  time.textContent = micros === null ? "" : micros < 1e6 ? `${(micros / 1e3).toFixed(1)} ms` : `${(micros / 1e6).toFixed(1)} s`;
  line.append(...who(from.name, out), " to ", ...(to ? who(to.name, back) : ["everybody"]), said, badge, time);
  enter(line);
}

function note(kind, subject, rest) {
  const line = document.createElement("li");
  line.dataset.kind = kind;
  const name = document.createElement("b");
  name.textContent = subject;
  line.append(name, rest);
  enter(line);
}

function enter(line) {
  page.empty.hidden = true;
  page.log.prepend(line);
  while (page.log.childElementCount > SHOWN) page.log.lastElementChild.remove();
}

// The page.

function showState(state) {
  if (servers.length === 0) state.servers.forEach((_, index) => servers.push(new Server(index)));
  page.common.textContent = state.common === "Redis" ? "Redis" : "Memory of the process";
  state.servers.forEach((server, index) => servers[index].show(server));
  if (clients.size === 0) for (const server of live()) for (let n = 0; n < AT_FIRST; n++) add(server);
  showChoice();
}

function chat() {
  const there = [...clients.values()].filter((client) => client.isConnected);
  const pick = (list) => list[Math.floor(Math.random() * list.length)];
  const from = pick(there);
  const to = pick(there.filter((client) => client !== from));
  if (to) send(from, to, pick(TEXTS));
}

page.all.addEventListener("click", sendToAll);
page.traffic.addEventListener("click", () => {
  clearInterval(traffic);
  traffic = traffic ? null : setInterval(chat, PACE);
  page.traffic.setAttribute("aria-pressed", String(Boolean(traffic)));
});
addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && chosen) choose(chosen);
});

const director = connect();
director.on("state", showState);
director.addEventListener("statechange", async ({ detail }) => {
  page.app.dataset.state = detail.state;
  if (detail.state !== "connected") {
    page.hint.textContent = "The page has lost its server, and tries to come back.";
    return;
  }
  showState((await director.request("state"))[0]);
});
