// The page of the chat. What others wrote is only ever put into the page as text.
import { connect } from "/stream/primacron.js";

const LONGEST_TEXT = 2000;
const SHOWN = 300;

/** Milliseconds in which texts of one person stand together, and repeated refusals are one. */
const TOGETHER = 5 * 60 * 1000;
const REPEATED = 60 * 1000;

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));

/** Who is here by id, which of them I am, and who I was before a reconnect. */
const people = new Map();
const myIds = new Set();
let myId = null;
let myName = localStorage.getItem("name") ?? "";

/** What I said and nobody has answered yet, the oldest first. */
let unanswered = [];
let socket = null;
let room = "";
let countdown = null;
let unread = 0;

// What the connection says.

function join() {
  leave();
  people.clear();
  page.log.replaceChildren();
  unanswered = [];
  showPeople();
  showRoom();
  socket = connect({ account: room });
  // To play with in the console.
  globalThis.socket = socket;
  socket.addEventListener("statechange", ({ detail }) => changeState(detail));
  socket.addEventListener("drop", ({ detail }) => refuse(detail.event, detail.reason));
  socket.on("here", welcome);
  socket.on("gone", goodbye);
  socket.on("said", hear);
  for (const kind of ["error::validation", "error::handler"]) socket.on(kind, (event, text) => refuse(event, text));
  for (const kind of ["error::json", "error::invalid"]) socket.on(kind, (text) => refuse("message", text));
  changeState({ state: socket.state });
}

function leave() {
  socket?.close();
  socket = null;
  myId = null;
}

function changeState({ state, reason, delay = 0 }) {
  clearInterval(countdown);
  page.chip.dataset.state = state;
  page.chip.title = reason ?? "";
  if (state === "connecting") chip("Connecting");
  if (state === "closed") chip("Closed");
  if (state === "closed" && socket) note(`The connection was closed: ${reason}.`, "bad");
  if (state === "connected") {
    chip("Connected");
    enter();
  }
  if (state === "reconnecting") {
    myId = null;
    const until = performance.now() + delay;
    const tick = () => {
      const seconds = Math.ceil((until - performance.now()) / 1000);
      chip(seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting");
    };
    tick();
    countdown = setInterval(tick, 250);
  }
}

function chip(text) {
  // Set only when it changes: it is read out.
  if (page["chip-text"].textContent !== text) page["chip-text"].textContent = text;
}

async function enter() {
  const mine = socket;
  try {
    const [id, here, texts] = await own("enter", myName);
    if (socket !== mine) return;
    myId = id;
    myIds.add(id);
    people.clear();
    for (const person of here) people.set(person.id, person);
    showPeople();
    for (const text of texts) hear(text);
    for (const item of unanswered) if (item.isWaiting) send(item);
  } catch (error) {
    // After a lost connection the next one enters again.
    if (error.code !== "refused" || socket !== mine) return;
    if (myId === null) leave();
    openEntrance(error.message);
  }
}

function welcome(person) {
  const known = people.get(person.id);
  people.set(person.id, person);
  showPeople();
  if (myId === null || known?.name === person.name) return;
  note(known ? `${known.name} is now ${person.name}` : `${person.name} came in`);
}

function goodbye(person) {
  if (people.delete(person.id)) note(`${person.name} left`);
  showPeople();
}

function hear(said) {
  if (page.log.querySelector(`[data-id="${CSS.escape(said.id)}"]`)) return;
  const isMine = myIds.has(said.from.id);
  const index = isMine ? unanswered.findIndex((item) => item.text === said.text && !item.isWaiting) : -1;
  const [item] = index < 0 ? [] : unanswered.splice(index, 1);
  if (item) item.element.remove();
  append(messageOf(said, isMine));
  if (!isMine && document.hidden) showUnread(unread + 1);
}

// What I say.

function say(text) {
  const said = { id: "", from: { id: myId ?? "", name: myName }, text, at: Date.now() };
  const item = { text, isWaiting: true, element: messageOf(said, true) };
  unanswered.push(item);
  append(item.element, true);
  if (myId === null) tellFate(item, "waiting", "Waits for the connection");
  else send(item);
}

async function send(item) {
  item.isWaiting = false;
  tellFate(item, "waiting", "");
  try {
    await own("say", item.text);
  } catch (error) {
    if (!item.element.isConnected) return;
    tellFate(item, "refused", `Not sent: ${error.message}.`);
    item.element.querySelector(".bubble").classList.add("long");
    const forget = () => {
      unanswered = unanswered.filter((other) => other !== item);
      item.element.remove();
      showEmpty();
    };
    const edit = () => {
      forget();
      page.text.value = item.text;
      measure();
      page.text.focus();
    };
    const again = () => {
      forget();
      say(item.text);
    };
    const choices = element("span", "choices");
    choices.append(button("Edit", edit), button("Retry", again));
    item.element.querySelector(".fate").append(choices);
    scrollDown();
  }
}

/** Requests of the page itself, by event: their refusal is shown where it belongs, and not once more. */
const asked = new Map();

async function own(event, ...args) {
  asked.set(event, (asked.get(event) ?? 0) + 1);
  try {
    return await socket.request(event, ...args);
  } finally {
    asked.set(event, asked.get(event) - 1);
  }
}

function refuse(event, text) {
  if (asked.get(event) > 0) return;
  const what = `Refused “${event}”: ${text ?? "not a message"}.`;
  const known = [...page.log.querySelectorAll(".note.bad")].findLast((one) => one.dataset.what === what);
  if (!known || Date.now() - known.dataset.at > REPEATED) return note(what, "bad");
  known.dataset.times = Number(known.dataset.times ?? 1) + 1;
  const times = element("span", "", ` (${known.dataset.times} times)`);
  // Read out once is enough.
  times.setAttribute("aria-hidden", "true");
  known.replaceChildren(what, times);
}

// What is shown.

function messageOf({ id, from, text, at }, isMine) {
  const bubble = element("div", "bubble");
  bubble.dir = "auto";
  bubble.append(...linked(text));
  const time = element("time", "", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = new Date(at).toISOString();
  const head = element("div", "from");
  head.append(element("bdi", "", from.name), time);
  const item = element("li", isMine ? "message mine" : "message");
  Object.assign(item.dataset, { id, from: isMine ? "me" : from.id, at });
  item.append(avatar(from.name), head, bubble);
  if (isMine) item.append(element("div", "fate"));
  return item;
}

function tellFate({ element: item }, kind, text) {
  item.classList.remove("waiting", "refused");
  item.classList.add(kind);
  item.querySelector(".fate").replaceChildren(...(text ? [element("span", "", text)] : []));
  scrollDown();
}

/** Adds a line; what is not answered yet stays below all others. */
function append(item, isPending = false) {
  const before = isPending ? null : (unanswered.find((one) => one.element.isConnected)?.element ?? null);
  const atEnd = isAtEnd();
  page.log.insertBefore(item, before);
  const { previousElementSibling: above } = item;
  const { from, at } = item.dataset;
  const isSame = from !== undefined && above?.dataset.from === from;
  item.classList.toggle("next", isSame && at - above.dataset.at < TOGETHER);
  while (page.log.childElementCount > SHOWN) page.log.firstElementChild.remove();
  showEmpty();
  if (atEnd || isPending) scrollDown();
  else page.newest.hidden = false;
}

function note(text, kind = "") {
  const item = element("li", `note ${kind}`, text);
  Object.assign(item.dataset, { what: text, at: Date.now() });
  if (kind === "bad") item.setAttribute("role", "alert");
  append(item);
}

function showPeople() {
  const sorted = [...people.values()].sort((one, other) => one.name.localeCompare(other.name));
  const lines = sorted.map(({ id, name }) => {
    const line = element("li");
    line.append(avatar(name), element("bdi", "", name));
    if (myIds.has(id)) line.append(element("span", "you", "you"));
    return line;
  });
  page.people.replaceChildren(...lines);
  page.count.textContent = page["toggle-count"].textContent = String(people.size);
}

function showRoom() {
  page["room-name"].textContent = room;
  page["my-name"].textContent = myName;
  showUnread(0);
}

function showEmpty() {
  page.empty.hidden = page.log.childElementCount > 0;
}

function showUnread(count) {
  unread = count;
  document.title = `${count > 0 ? `(${count}) ` : ""}#${room}`;
}

function isAtEnd() {
  return page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 80;
}

function scrollDown() {
  page.log.scrollTop = page.log.scrollHeight;
  page.newest.hidden = true;
}

function measure() {
  const left = LONGEST_TEXT - [...page.text.value.trim()].length;
  page.left.textContent = left < 200 ? String(left) : "";
  page.left.classList.toggle("over", left < 0);
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function button(text, act) {
  const made = element("button", "", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function avatar(name) {
  const words = name.split(/\s+/u).filter(Boolean);
  const initials = words.length > 1 ? [words[0], words.at(-1)] : [name];
  const made = element("span", "avatar", initials.map((word) => [...word][0] ?? "").join("").toUpperCase());
  made.style.setProperty("--hue", String([...name].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7)));
  made.setAttribute("aria-hidden", "true");
  return made;
}

/** A text, and links where it has addresses of the web. */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]'])/u).map((part, index) => {
    if (index % 2 === 0 || !URL.canParse(part)) return document.createTextNode(part);
    const link = element("a", "", part);
    Object.assign(link, { href: part, target: "_blank", rel: "noopener noreferrer nofollow" });
    return link;
  });
}

// What the user does.

function openEntrance(problem = "") {
  page["name-field"].value = myName;
  page["room-field"].value = room;
  page.problem.textContent = problem;
  if (!page.entrance.open) page.entrance.showModal();
  (myName ? page["room-field"] : page["name-field"]).select();
}

function roomOfHash() {
  try {
    return decodeURIComponent(location.hash.slice(1)).trim();
  } catch {
    return "";
  }
}

page["entrance-form"].addEventListener("submit", (event) => {
  event.preventDefault();
  const [name, wanted] = [page["name-field"].value.trim(), page["room-field"].value.trim()];
  if (!name || !wanted) {
    page.problem.textContent = "Name and room must not be empty.";
    return;
  }
  page.entrance.close();
  myName = name;
  localStorage.setItem("name", name);
  page.text.focus();
  if (socket && wanted === room) {
    showRoom();
    if (socket.state === "connected") enter();
    return;
  }
  room = wanted;
  history.replaceState(null, "", `#${encodeURIComponent(room)}`);
  join();
});

page.entrance.addEventListener("cancel", (event) => {
  if (!socket) event.preventDefault();
});

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = page.text.value.trim();
  if (!text || !socket) return;
  page.text.value = "";
  measure();
  say(text);
});

page.text.addEventListener("input", measure);
page.text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  page.composer.requestSubmit();
});

page.newest.addEventListener("click", scrollDown);
page.log.addEventListener("scroll", () => {
  if (isAtEnd()) page.newest.hidden = true;
});
new ResizeObserver(() => page.newest.hidden && scrollDown()).observe(page.log);

page.room.addEventListener("click", () => openEntrance());
page.toggle.addEventListener("click", () => togglePeople());
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && page.side.classList.contains("open")) togglePeople();
});

function togglePeople() {
  page.toggle.setAttribute("aria-expanded", String(page.side.classList.toggle("open")));
}

page.invite.addEventListener("click", async () => {
  const copied = await navigator.clipboard.writeText(location.href).then(
    () => "Copied",
    () => location.href,
  );
  page.invite.textContent = copied;
  setTimeout(() => (page.invite.textContent = "Copy the link to this room"), 2000);
});

addEventListener("hashchange", () => {
  const wanted = roomOfHash();
  if (!wanted || wanted === room) return;
  room = wanted;
  if (myName) join();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) showUnread(0);
});

room = roomOfHash() || "lobby";
showRoom();
if (myName && roomOfHash()) join();
else openEntrance();
