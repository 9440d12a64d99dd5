import assert from "node:assert/strict";
import { Agent } from "node:http";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { startNode } from "./node.mjs";

/** The only way of a client to the server, until it is cut. */
class Line extends Agent {
  /** Waits until a request is on its way; polling, an idle client has no other than its poll. */
  async busy() {
    while (!Object.values(this.sockets).flat().some((socket) => socket.bytesWritten > 0)) await turn();
    await turn();
  }

  cut() {
    this.createConnection = (_, done) => done(new Error("the line is cut"));
    this.destroy();
  }
}

test("a client that vanishes in the middle of a poll leaves no session behind", async (t) => {
  const node = await startNode(t);
  const line = new Line();
  const client = await node.connect({ transports: ["polling"], agent: line });
  await node.untilConnections(1);

  await line.busy();
  line.cut();

  await client.until(() => client.error);
  assert.equal(client.error.message, "xhr poll error");
  await node.untilConnections(0);
});

test("a poll that is cut off disturbs nobody else", async (t) => {
  const node = await startNode(t);
  const line = new Line();
  const lost = await node.connect({ account: "lost", transports: ["polling"], agent: line });
  const other = await node.connect({ account: "other", transports: ["polling"] });

  await line.busy();
  line.cut();
  await lost.until(() => lost.closed);

  other.emit("broadcast", "who is here");
  assert.deepEqual(await other.events(1), [{ event: "broadcast", args: ["who is here"] }]);
});
