import assert from "node:assert/strict";
import { Agent } from "node:http";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { startNode } from "./node.mjs";

const COUNT = 5_000;
const WINDOW = 500;
const texts = Array.from({ length: COUNT }, (_, i) => `text ${i}`);

/** Sends the texts, at most `WINDOW` ahead of what arrived; gives the number sent before the upgrade. */
async function burst(send, receiver) {
  let before = 0;
  for (const [sent, text] of texts.entries()) {
    if (!receiver.upgraded) before = sent + 1;
    // The last text waits for the upgrade, so that it cannot come after the burst.
    if (sent === COUNT - 1) await receiver.until(() => receiver.upgraded);
    await receiver.until(() => receiver.received.length > sent - WINDOW);
    send(text);
    if (sent % 10 === 0) await turn();
  }
  return before;
}

const upgrading = () => ({ transports: ["polling", "websocket"], agent: new Agent({ keepAlive: true }) });

function assertMidway(before) {
  assert.ok(before > 1 && before < COUNT, `the upgrade fell into the burst, after ${before} messages`);
}

test("echoes keep their order when the upgrade falls into a burst", async (t) => {
  const node = await startNode(t);
  const client = await node.connect(upgrading());

  const before = await burst((text) => client.emit("echo", text), client);

  const answers = await client.events(COUNT);
  assert.deepEqual(answers.map(({ args }) => args[0]), texts);
  assert.equal(client.socket.transport.name, "websocket");
  assertMidway(before);
});

test("what a server sends keeps its order when the upgrade falls into a burst", async (t) => {
  const node = await startNode(t);
  const sender = await node.connect({ account: "sender", transports: ["websocket"] });
  const receiver = await node.connect({ ...upgrading(), account: "receiver" });

  const before = await burst((text) => sender.emit("account", "receiver", text), receiver);

  const heard = await receiver.events(COUNT);
  assert.deepEqual(heard.map(({ args }) => args[0]), texts);
  assert.equal(receiver.socket.transport.name, "websocket");
  assertMidway(before);
});
