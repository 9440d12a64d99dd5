// Three servers, and clients that talk from one to another.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openWindow } from "./browser.mjs";
import { startRedis } from "./redis.mjs";
import { startCluster } from "./server.mjs";
import { client, connected, heardBy, namesOn, openStage, say, server, told } from "./stage.mjs";

/** Faults of a page, except that nobody listens where a server was ended. */
const faults = (page) => page.faults.filter((fault) => !fault.startsWith("WebSocket connection to"));

test("a message goes from a client of one server to a client of another, and says so", async (t) => {
  const { url } = await startCluster(t);
  const page = await openStage(t, url);
  assert.deepEqual([await namesOn(page, 1), await namesOn(page, 2)], [["Ann", "Ben"], ["Cleo", "Dan"]]);

  await say(page, "Ann", "Dan", "over there");
  await heardBy(page, "Dan", "over there").waitFor();
  await say(page, "Dan", "Cleo", "right here");
  await heardBy(page, "Cleo", "right here").waitFor();

  await told(page, "over there").waitFor();
  assert.match(await told(page, "over there").textContent(), /^Ann1 to Dan2over therewritten\d+\.\d ms$/);
  await told(page, "right here").waitFor();
  assert.match(await told(page, "right here").textContent(), /^Dan2 to Cleo2right herewritten/);
  assert.deepEqual(page.faults, []);
});

test("everybody hears what is told to everybody, on all servers", async (t) => {
  const { url } = await startCluster(t);
  const page = await openStage(t, url);

  await page.getByRole("textbox", { name: "What to say" }).fill("to all of you");
  await page.getByRole("button", { name: "Tell everybody" }).click();

  for (const name of ["Ann", "Ben", "Cleo", "Dan", "Eve", "Finn"]) await heardBy(page, name, "to all of you").waitFor();
  assert.match(await told(page, "to all of you").textContent(), /6 reached/);
});

test("a killed server is missed, its clients come back elsewhere, and it can come back itself", async (t) => {
  const { url } = await startCluster(t);
  const page = await openStage(t, url);

  await server(page, 2).getByRole("button", { name: "Kill" }).click();
  await page.locator(".server[data-state=down]").waitFor();
  await page.getByText("Server 2 was killed").waitFor();
  await connected(page, 6);
  assert.deepEqual(await namesOn(page, 2), []);
  await say(page, "Ann", "Dan", "you are back");
  await heardBy(page, "Dan", "you are back").waitFor();
  await page.locator(".views [data-seen=gone]").nth(1).waitFor();

  await server(page, 2).getByRole("button", { name: "Start" }).click();
  await page.locator(".views [data-seen=live]").nth(5).waitFor();
  await server(page, 2).getByRole("button", { name: "Add a client" }).click();
  await connected(page, 7);
  assert.deepEqual(await namesOn(page, 2), ["Gus"]);
  await say(page, "Gus", "Eve", "the new one speaks");
  await heardBy(page, "Eve", "the new one speaks").waitFor();
  assert.deepEqual(faults(page), []);
});

test("a server that shuts down is missed at once, and one client moves where it is wanted", async (t) => {
  const { url } = await startCluster(t);
  const page = await openStage(t, url);

  await client(page, "Ann").click();
  await server(page, 3).getByRole("button", { name: "Move here" }).click();
  await page.keyboard.press("Escape");
  await connected(page, 6);
  assert.deepEqual(await namesOn(page, 3), ["Eve", "Finn", "Ann"]);
  await server(page, 1).getByRole("button", { name: "Shut down" }).click();
  await page.getByText("Server 1 has ended, and all know").waitFor();
  await page.locator(".views [data-seen=gone]").nth(1).waitFor();
  await connected(page, 6);

  await say(page, "Ann", "Ben", "where are you now");
  await heardBy(page, "Ben", "where are you now").waitFor();
  assert.deepEqual(await namesOn(page, 1), []);
});

test("clients of other windows are others", async (t) => {
  const { url } = await startCluster(t);
  const [one, two] = [await openStage(t, url), await openStage(t, url)];

  await say(one, "Ann", "Finn", "only in here");
  await heardBy(one, "Finn", "only in here").waitFor();

  assert.equal(await two.locator(".bubble").count(), 0);
  assert.equal(await two.locator(".client[data-state=connected]").count(), 6);
});

test("over Redis it is the same", async (t) => {
  const { url } = await startCluster(t, ["--redis", await startRedis(t)]);
  const page = await openStage(t, url);

  await say(page, "Ann", "Dan", "by way of Redis");
  await heardBy(page, "Dan", "by way of Redis").waitFor();
  await server(page, 3).getByRole("button", { name: "Kill" }).click();
  await page.locator(".views [data-seen=gone]").nth(1).waitFor();
  await connected(page, 6);
  await say(page, "Ann", "Eve", "found again");
  await heardBy(page, "Eve", "found again").waitFor();

  assert.equal(await page.locator("#common").textContent(), "Redis");
  assert.deepEqual(faults(page), []);
});

for (const signal of ["SIGTERM", "SIGINT"]) {
  test(`${signal} ends all servers, their clients first`, async (t) => {
    const cluster = await startCluster(t);
    const page = await openStage(t, cluster.url);

    assert.equal(await cluster.interrupt(signal), 0);
    await page.locator("#app[data-state=reconnecting]").waitFor();
  });
}

test("a page that was open finds its servers again after a restart", async (t) => {
  const first = await startCluster(t);
  const page = await openStage(t, first.url);

  await first.kill();
  await page.locator("#app[data-state=reconnecting]").waitFor();
  await startCluster(t, [], first.port);

  await connected(page, 6);
  await say(page, "Ann", "Finn", "still here");
  await heardBy(page, "Finn", "still here").waitFor();
});

test("on a phone nothing is wider than the window", async (t) => {
  const { url } = await startCluster(t);
  const page = await openWindow(t, { viewport: { width: 360, height: 700 }, isMobile: true, hasTouch: true });
  await page.goto(url);
  await connected(page, 6);

  await client(page, "Ann").tap();
  await client(page, "Eve").tap();
  await heardBy(page, "Eve", "Hello").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
});
