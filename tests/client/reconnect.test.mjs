import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

test("50 reconnects over alternating transports leave no session behind", async (t) => {
  const node = await startNode(t);
  const sids = new Set();

  for (let round = 0; round < 50; round++) {
    const client = await node.connect({ transports: [TRANSPORTS[round % 2]] });
    sids.add(client.handshake.sid);
    client.emit("echo", `round ${round}`);
    assert.deepEqual(await client.events(1), [{ event: "echo", args: [`round ${round}`] }]);
    await client.close();
  }

  assert.equal(sids.size, 50, "each connection has its own id");
  await node.untilConnections(0);
});
