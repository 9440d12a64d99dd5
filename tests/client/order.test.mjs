import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

const COUNT = 1_000;

for (const transport of TRANSPORTS) {
  test(`${COUNT} echoes sent at once come back in order over ${transport}`, async (t) => {
    const node = await startNode(t);
    const client = await node.connect({ transports: [transport] });
    const texts = Array.from({ length: COUNT }, (_, i) => `text ${i}`);

    for (const text of texts) client.emit("echo", text);

    const answers = await client.events(COUNT);
    assert.deepEqual(answers.map(({ args }) => args[0]), texts);
  });
}
