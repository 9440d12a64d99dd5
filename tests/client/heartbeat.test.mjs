import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

for (const transport of TRANSPORTS) {
  test(`an idle client lives through ten heartbeats over ${transport}`, async (t) => {
    const node = await startNode(t, "--ping-interval-ms", "100", "--ping-timeout-ms", "100");
    const client = await node.connect({ transports: [transport] });

    await client.until(() => client.pings === 10);

    client.emit("echo", "alive");
    assert.deepEqual(await client.events(1), [{ event: "echo", args: ["alive"] }]);
    assert.equal(client.handshake.pingInterval, 100);
    assert.equal(client.handshake.pingTimeout, 100);
  });
}
