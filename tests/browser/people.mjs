// People in the chat, each with a window.
import { openWindow } from "./browser.mjs";

/** Opens the chat, gives a name at the entrance and waits until the name is in the list. */
export async function enter(t, url, name, room = "lobby", options = {}) {
  const page = await openWindow(t, options);
  await page.goto(url);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Room").fill(room);
  await page.getByRole("button", { name: "Enter" }).click();
  await inside(page);
  return page;
}

/** Waits until the page is connected and has entered. */
export async function inside(page) {
  await page.locator("#chip[data-state=connected]").waitFor();
  await page.locator("#people .you").waitFor({ state: "attached" });
}

export async function say(page, text) {
  await page.getByRole("textbox", { name: "Your message" }).fill(text);
  await page.keyboard.press("Enter");
}

/** Waits until a text stands in the log, as a bubble of its own. */
export const bubble = (page, text) => page.locator(".bubble", { hasText: text });
