// Pictures of the chat. PRIMACRON_PICTURE names the file of the one in the README; the others, and all without it,
// go to a folder for temporary files.
import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bubble, enter, say } from "./people.mjs";
import { startChat } from "./server.mjs";

const TALK = [
  ["ann", "Good morning! The new build is on staging 🎉"],
  ["ben", "Nice. I opened it on my phone and on the laptop, they stay in step."],
  ["ben", "Even with the websocket blocked: the company proxy only lets long polling through."],
  ["cleo", "I pulled the plug of the server a minute ago. Did you notice anything?"],
  ["ann", "The dot went amber, and three seconds later everything was back. Nothing was lost."],
  ["ben", "Same here. Notes are at https://example.com/notes/42"],
  ["cleo", "Then let us ship it."],
];

test("pictures of a talk, on a desk and on a phone, by day and by night", async (t) => {
  const { url } = await startChat(t);
  const folder = await mkdtemp(join(tmpdir(), "primacron-pictures-"));
  const desk = { viewport: { width: 1120, height: 760 }, deviceScaleFactor: 1.5, locale: "en-GB" };
  const phone = { viewport: { width: 390, height: 760 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, locale: "en-GB" };
  const people = {
    ann: await enter(t, url, "Ann", "launch", desk),
    ben: await enter(t, url, "Ben Okafor", "launch", { ...desk, colorScheme: "dark" }),
    cleo: await enter(t, url, "Cleo", "launch", phone),
  };

  for (const [who, text] of TALK) {
    await say(people[who], text);
    for (const page of Object.values(people)) await bubble(page, text).waitFor();
  }
  await people.ann.bringToFront();
  const pictures = {
    desk: process.env.PRIMACRON_PICTURE ?? join(folder, "desk.png"),
    night: join(folder, "night.png"),
    phone: join(folder, "phone.png"),
    refused: join(folder, "refused.png"),
    entrance: join(folder, "entrance.png"),
    side: join(folder, "side.png"),
  };
  await people.ann.screenshot({ path: pictures.desk });
  await people.ben.screenshot({ path: pictures.night });
  await people.cleo.screenshot({ path: pictures.phone });
  await say(people.cleo, "too long ".repeat(300));
  await people.cleo.locator(".refused").waitFor();
  await people.cleo.screenshot({ path: pictures.refused });
  await people.cleo.locator("#toggle").click();
  await people.cleo.screenshot({ path: pictures.side });
  await people.ann.locator("#room").click();
  await people.ann.screenshot({ path: pictures.entrance });

  console.log(`pictures are in ${folder}`);
  for (const page of Object.values(people)) {
    const { scroll, client } = await page.evaluate(() => ({
      scroll: document.documentElement.scrollWidth,
      client: document.documentElement.clientWidth,
    }));
    assert.ok(scroll <= client, `the page is ${scroll} wide in a window of ${client}`);
    assert.deepEqual(page.faults, []);
  }
});
