// Pictures of the cluster. PRIMACRON_PICTURE names the file of the one in the README; the others, and all without it,
// go to a folder for temporary files.
import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startCluster } from "./server.mjs";
import { connected, heardBy, openStage, say, server, told } from "./stage.mjs";

/** Stops the first message that has left its server, in the page; whether there was one. */
function stopOnTheWay() {
  const bottom = document.querySelector(".server").getBoundingClientRect().bottom;
  const dot = [...document.querySelectorAll(".air i")].find((dot) => dot.getBoundingClientRect().top > bottom + 20);
  for (const flight of dot?.getAnimations() ?? []) flight.pause();
  return Boolean(dot);
}

test("pictures of a cluster that has lost a server, on a desk and on a phone, by day and by night", async (t) => {
  const { url } = await startCluster(t);
  const folder = await mkdtemp(join(tmpdir(), "primacron-pictures-"));
  const desk = { viewport: { width: 1120, height: 760 }, deviceScaleFactor: 1.5 };
  const phone = { viewport: { width: 390, height: 760 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
  const pages = {
    day: await openStage(t, url, desk),
    night: await openStage(t, url, { ...desk, colorScheme: "dark" }),
    phone: await openStage(t, url, phone),
  };

  await server(pages.day, 2).getByRole("button", { name: "Add a client" }).click();
  await connected(pages.day, 7);
  await say(pages.day, "Ben", "Cleo", "Good morning");
  await told(pages.day, "Good morning").waitFor();
  await server(pages.day, 3).getByRole("button", { name: "Kill" }).click();
  await say(pages.day, "Gus", "Finn", "Are you still there?");

  for (const [name, page] of Object.entries(pages)) {
    await page.bringToFront();
    await page.locator(".views [data-seen=gone]").nth(1).waitFor();
    await connected(page, name === "day" ? 7 : 6);
    await say(page, "Ann", "Finn", "Welcome back");
    await told(page, "Welcome back").waitFor();
    await say(page, "Cleo", "Ben", "It took you three seconds");
    await heardBy(page, "Ben", "It took you three seconds").waitFor();
    const stopped = page.waitForFunction(stopOnTheWay);
    await say(page, "Ann", "Cleo", "Coffee?");
    await stopped;
    await page.evaluate(() => document.activeElement.blur());
    const path = name === "day" ? (process.env.PRIMACRON_PICTURE ?? join(folder, "day.png")) : join(folder, `${name}.png`);
    await page.screenshot({ path });
    const { scroll, client } = await page.evaluate(() => ({
      scroll: document.documentElement.scrollWidth,
      client: document.documentElement.clientWidth,
    }));
    assert.ok(scroll <= client, `the page is ${scroll} wide in a window of ${client}`);
  }
  console.log(`pictures are in ${folder}`);
});
