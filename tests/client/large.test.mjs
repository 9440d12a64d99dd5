import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

const SIZE = 100 * 1024;

for (const transport of TRANSPORTS) {
  test(`100 KB of text come back as they were over ${transport}`, async (t) => {
    const node = await startNode(t);
    const client = await node.connect({ transports: [transport] });
    const text = randomBytes(SIZE / 2).toString("hex");

    client.emit("echo", text);

    const [echo] = await client.events(1);
    assert.ok(echo.args[0] === text, "the same text");
  });

  test(`100 KB of raw text stay text over ${transport}`, async (t) => {
    const node = await startNode(t, "--raw");
    const client = await node.connect({ transports: [transport] });
    const text = randomBytes(SIZE / 2).toString("hex");

    client.socket.send(text);

    const [echo] = await client.messages(1);
    assert.ok(echo === text, "the same text");
  });

  test(`100 KB of raw bytes stay bytes over ${transport}`, async (t) => {
    const node = await startNode(t, "--raw");
    const client = await node.connect({ transports: [transport] });
    const bytes = randomBytes(SIZE);

    client.socket.send(bytes);

    const [echo] = await client.messages(1);
    assert.ok(Buffer.isBuffer(echo), "bytes, not text");
    assert.ok(bytes.equals(echo), "the same bytes");
  });
}
