import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

for (const transport of TRANSPORTS) {
  test(`an echo comes back over ${transport}`, async (t) => {
    const node = await startNode(t);
    const client = await node.connect({ transports: [transport] });

    client.emit("echo", "hello");

    assert.deepEqual(await client.events(1), [{ event: "echo", args: ["hello"] }]);
    assert.equal(client.socket.transport.name, transport);
  });
}
