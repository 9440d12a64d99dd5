// The chat as people use it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openWindow } from "./browser.mjs";
import { bubble, enter, inside, say } from "./people.mjs";
import { startProxy } from "./proxy.mjs";
import { startChat } from "./server.mjs";

const texts = (page) => page.locator(".bubble").allTextContents();
const names = (page) => page.locator("#people bdi").allTextContents();
const isInSight = (locator) =>
  locator.evaluate((one) => one.getBoundingClientRect().bottom <= one.closest(".log").getBoundingClientRect().bottom);
const transport = (page) => page.evaluate(() => globalThis.socket.transport);

test("two windows talk, and see each other come and go", async (t) => {
  const { url } = await startChat(t);
  const ann = await enter(t, url, "Ann");
  const ben = await enter(t, url, "Ben");

  await say(ann, "Hello Ben");
  await bubble(ben, "Hello Ben").waitFor();
  await say(ben, "Hello Ann\nhow are you?");
  await bubble(ann, "how are you?").waitFor();

  assert.equal(await transport(ann), "websocket");
  assert.deepEqual(await names(ann), ["Ann", "Ben"]);
  assert.deepEqual(await texts(ann), ["Hello Ben", "Hello Ann\nhow are you?"]);
  assert.deepEqual(await texts(ben), await texts(ann));
  assert.equal(await ann.locator(".mine").count(), 1);
  await ann.getByText("Ben came in").waitFor();

  await ben.close();
  await ann.getByText("Ben left").waitFor();
  assert.deepEqual(await names(ann), ["Ann"]);
  assert.deepEqual([...ann.faults, ...ben.faults], []);
});

test("a room is apart from all others, and the address names it", async (t) => {
  const { url } = await startChat(t);
  const ann = await enter(t, url, "Ann", "tea & biscuits");
  const ben = await enter(t, url, "Ben", "coffee");

  await say(ann, "only here");
  await bubble(ann, "only here").waitFor();
  assert.equal(new URL(ann.url()).hash, "#tea%20%26%20biscuits");

  await ben.goto(ann.url());
  await bubble(ben, "only here").waitFor();
  assert.deepEqual(await names(ben), ["Ann", "Ben"]);
  assert.deepEqual([...ann.faults, ...ben.faults], []);
});

test("who comes in later reads what was said before", async (t) => {
  const { url } = await startChat(t);
  const ann = await enter(t, url, "Ann");

  await say(ann, "first");
  await bubble(ann, "first").waitFor();
  const ben = await enter(t, url, "Ben");

  await bubble(ben, "first").waitFor();
  assert.equal(await ben.locator(".from bdi").first().textContent(), "Ann");
});

test("polling carries on where websockets are blocked", async (t) => {
  const chat = await startChat(t);
  const proxy = await startProxy(t, chat.url, { upgrades: "refuse" });
  const ann = await enter(t, proxy.url, "Ann");
  const ben = await enter(t, chat.url, "Ben");

  await say(ann, "over polling");
  await bubble(ben, "over polling").waitFor();
  await say(ben, "I hear you");
  await bubble(ann, "I hear you").waitFor();

  assert.deepEqual([await transport(ann), await transport(ben)], ["polling", "websocket"]);
});

test("an upgrade while messages flow loses none and keeps their order", async (t) => {
  const { url } = await startChat(t);
  const ann = await enter(t, url, "Ann");
  const listener = await openWindow(t);
  await listener.goto(`${url}#lobby`);

  await listener.evaluate(async () => {
    const { connect } = await import("/stream/primacron.js");
    globalThis.heard = [];
    globalThis.carriers = new Set();
    globalThis.listener = connect({ account: "lobby", transports: ["polling", "websocket"] });
    globalThis.listener.on("said", ({ text }) => {
      globalThis.heard.push(text);
      globalThis.carriers.add(globalThis.listener.transport);
    });
    await new Promise((resolve) => globalThis.listener.addEventListener("statechange", resolve, { once: true }));
  });
  const sent = Array.from({ length: 8 }, (_, index) => `text ${index}`);
  for (const text of sent) await say(ann, text);
  await listener.waitForFunction(() => globalThis.heard.length === 8 && globalThis.listener.transport === "websocket");

  assert.deepEqual(await listener.evaluate(() => globalThis.heard), sent);
  assert.deepEqual([...ann.faults, ...listener.faults], []);
});

test("after a restart of the server everybody comes back, and what waited is said", async (t) => {
  const first = await startChat(t);
  const ann = await enter(t, first.url, "Ann", "lobby", { viewport: { width: 400, height: 240 } });
  const ben = await enter(t, first.url, "Ben");
  await say(ann, "before");
  await bubble(ben, "before").waitFor();

  await first.kill();
  await ann.locator("#chip[data-state=reconnecting]").waitFor();
  await say(ann, "while it was away");
  await ann.getByText("Waits for the connection").waitFor();
  assert.ok(await isInSight(ann.getByText("Waits for the connection")));
  await startChat(t, first.port);

  await Promise.all([inside(ann), inside(ben)]);
  await bubble(ben, "while it was away").waitFor();
  await ann.locator("#people bdi", { hasText: "Ben" }).waitFor({ state: "attached" });
  assert.deepEqual(await texts(ann), ["before", "while it was away"]);
  assert.equal(await ann.getByText("Waits for the connection").count(), 0);
});

test("a server that is told to end lets its clients go first", async (t) => {
  const chat = await startChat(t);
  const ann = await enter(t, chat.url, "Ann");

  const exit = await chat.interrupt();

  await ann.locator("#chip[data-state=reconnecting]").waitFor();
  assert.equal(exit, 0);
});

test("a message that was refused is shown to the one who sent it, who can change it", async (t) => {
  const { url } = await startChat(t);
  const ann = await enter(t, url, "Ann");
  const ben = await enter(t, url, "Ben");

  await say(ann, "x".repeat(2001));
  await ann.getByText("Not sent: a text has at most 2000 characters.").waitFor();
  assert.equal(await ann.locator(".refused").count(), 1);
  await ann.getByRole("button", { name: "Edit" }).click();
  assert.equal(await ann.locator("#left").textContent(), "-1");
  await ann.getByRole("textbox", { name: "Your message" }).press("Backspace");
  await ann.keyboard.press("Enter");

  await bubble(ben, "x".repeat(2000)).waitFor();
  assert.equal(await ann.locator(".refused").count(), 0);
  assert.deepEqual([...ann.faults, ...ben.faults], []);
});

test("a name that is refused is asked for again", async (t) => {
  const { url } = await startChat(t);
  const ann = await openWindow(t);
  await ann.goto(url);

  await ann.locator("#name-field").evaluate((field) => field.removeAttribute("maxlength"));
  await ann.getByLabel("Name").fill("n".repeat(41));
  await ann.getByRole("button", { name: "Enter" }).click();
  await ann.getByText("a name has at most 40 characters").waitFor();
  await ann.getByLabel("Name").fill("Ann");
  await ann.getByRole("button", { name: "Enter" }).click();

  await inside(ann);
  assert.deepEqual(ann.faults, []);
});

test("script in a name or a text is text", async (t) => {
  const { url } = await startChat(t);
  const name = "<img src=x onerror=hit()>";
  const text = `<script>hit()</script><b onclick="hit()">bold</b> javascript:hit() https://example.com/"><script>`;
  const ann = await enter(t, url, name, "<i>room</i>");
  const ben = await enter(t, url, "Ben", "<i>room</i>");

  await say(ann, text);

  await bubble(ben, "bold").waitFor();
  assert.deepEqual(await texts(ben), [text]);
  assert.deepEqual(await names(ben), [name, "Ben"]);
  assert.equal(await ben.locator("#room-name").textContent(), "<i>room</i>");
  assert.equal(await ben.locator(".log script, .log img, .log b, #people img, #room-name i").count(), 0);
  assert.deepEqual(
    await ben.locator(".bubble a").evaluateAll((links) => links.map(({ href, rel }) => [href, rel])),
    [["https://example.com/", "noopener noreferrer nofollow"]],
  );
  assert.deepEqual([...ann.faults, ...ben.faults], []);
});

test("the page is guarded by a policy that its own parts fulfil", async (t) => {
  const { url } = await startChat(t);

  const policy = (await fetch(url)).headers.get("content-security-policy");
  const page = await openWindow(t);
  await page.goto(url);
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "globalThis.injected = true";
    document.head.append(script);
    return globalThis.injected === true;
  });

  assert.match(policy, /^default-src 'self'; connect-src 'self' ws: wss:;/);
  assert.equal(ran, false);
});

test("the chat can be used without a mouse", async (t) => {
  const { url } = await startChat(t);
  const page = await openWindow(t);
  await page.goto(url);

  await page.keyboard.type("Ann");
  await page.keyboard.press("Tab");
  await page.keyboard.type("quiet");
  await page.keyboard.press("Enter");
  await inside(page);
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  await page.keyboard.press("Enter");
  await bubble(page, "one\ntwo").waitFor();

  assert.deepEqual(page.faults, []);
});

test("a phone shows the talk, and who is here when asked", async (t) => {
  const { url } = await startChat(t);
  const page = await enter(t, url, "Ann", "lobby", { viewport: { width: 320, height: 568 }, isMobile: true, hasTouch: true });

  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  const hidden = await page.locator("#side").isHidden();
  await page.locator("#toggle").tap();
  const shown = await page.locator("#side").isVisible();
  await page.locator("#toggle").tap();

  assert.deepEqual({ wide, hidden, shown }, { wide: 320, hidden: true, shown: true });
  await page.getByRole("textbox", { name: "Your message" }).waitFor();
});
