// The page of the cluster: its servers, the clients on them, and what is told of messages.
import { openWindow } from "./browser.mjs";

/** Opens the page and waits until six clients are connected and every server sees the others. */
export async function openStage(t, url, options = {}) {
  const page = await openWindow(t, options);
  await page.goto(url);
  await connected(page, 6);
  await page.locator(".views [data-seen=live]").nth(5).waitFor();
  return page;
}

/** Waits until so many clients are connected. */
export const connected = (page, count) => page.locator(".client[data-state=connected]").nth(count - 1).waitFor();

export const server = (page, number) => page.getByRole("region", { name: `Server ${number}` });

export const client = (page, name) => page.getByRole("button", { name, exact: true });

export const namesOn = (page, number) => server(page, number).locator(".client span:last-child").allTextContents();

/** Lets one client speak to another one. */
export async function say(page, from, to, text) {
  await page.getByRole("textbox", { name: "What to say" }).fill(text);
  await client(page, from).click();
  await client(page, to).click();
  await page.keyboard.press("Escape");
}

/** What is told of a text: who said it to whom, from where and to where, and what became of it. */
export const told = (page, text) => page.locator(".log li[data-outcome]", { has: page.locator("q", { hasText: text }) });

/** A text that stands beside a client, who has just heard it. */
export const heardBy = (page, name, text) =>
  page.locator(".clients li", { has: client(page, name) }).locator(".bubble", { hasText: text });
