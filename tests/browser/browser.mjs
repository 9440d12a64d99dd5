// Chromium, started once for each test file, and windows that remember what their console said.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { chromium } from "playwright-core";
import { DEADLINE_MS } from "./wait.mjs";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let started = null;

after(async () => {
  if (!started) return;
  const { context, folder } = await started;
  await context.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function start() {
  const folder = await mkdtemp(join(tmpdir(), "primacron-browser-"));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    env: { ...process.env, HOME: folder },
  });
  return { context, folder };
}

/** A window of its own: no storage is shared with any other. `options` are those of Playwright's contexts. */
export async function openWindow(t, options = {}) {
  started ??= start();
  const { context } = await started;
  const own = await context.browser().newContext({ viewport: { width: 1280, height: 900 }, ...options });
  own.setDefaultTimeout(DEADLINE_MS);
  t.after(() => own.close());
  const page = await own.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.faults.push(message.text());
  });
  return page;
}
