import assert from "node:assert/strict";
import { Agent } from "node:http";
import { test } from "node:test";
import { startNode } from "./node.mjs";

const CLIENTS = 100;
const MESSAGES = 50;
const MIX = [["polling"], ["websocket"], ["polling", "websocket"]];

test("100 clients over mixed transports each get their own answers and one broadcast", async (t) => {
  const node = await startNode(t);
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) =>
      node.connect({
        account: `account ${i % 10}`,
        transports: MIX[i % MIX.length],
        agent: new Agent({ keepAlive: true }),
      }),
    ),
  );

  await Promise.all(clients.map((client, i) => exchange(client, i)));
  clients[0].emit("broadcast", "to all");
  const heard = await Promise.all(clients.map((client) => client.events(1)));

  for (const events of heard) assert.deepEqual(events, [{ event: "broadcast", args: ["to all"] }]);
  await Promise.all(clients.map(hearsNothingMore));
});

/** Half of the messages at once, then one at a time. */
async function exchange(client, i) {
  const texts = Array.from({ length: MESSAGES }, (_, n) => `client ${i} message ${n}`);
  const half = texts.splice(0, MESSAGES / 2);
  for (const text of half) client.emit("echo", text);
  assert.deepEqual(await client.events(half.length), half.map(echoOf));
  for (const text of texts) {
    client.emit("echo", text);
    assert.deepEqual(await client.events(1), [echoOf(text)]);
  }
}

const echoOf = (text) => ({ event: "echo", args: [text] });

async function hearsNothingMore(client) {
  client.emit("echo", "last");
  assert.deepEqual(await client.events(1), [echoOf("last")]);
}
