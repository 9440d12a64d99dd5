import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

for (const transport of TRANSPORTS) {
  test(`a session is found, closed by another and found no more over ${transport}`, async (t) => {
    const node = await startNode(t);
    const closer = await node.connect({ account: "closer", transports: ["websocket"] });
    const closed = await node.connect({ account: "closed", transports: [transport] });
    const { session } = closed.handshake;

    closer.emit("sessions", "closed");
    closer.emit("find", "closed", session);
    assert.deepEqual(await closer.events(2), [
      { event: "sessions", args: [session] },
      { event: "found", args: ["found", node.id] },
    ]);

    closer.emit("close", "closed", session);
    await closed.until(() => closed.closed);
    assert.equal((await closer.events(1))[0].event, "outcome");
    await node.untilConnections(1);

    closer.emit("find", "closed", session);
    assert.deepEqual(await closer.events(1), [{ event: "found", args: ["not_found"] }]);
  });
}
