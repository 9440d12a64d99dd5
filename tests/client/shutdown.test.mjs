import assert from "node:assert/strict";
import { test } from "node:test";
import { startNode } from "./node.mjs";

test("SIGTERM closes every client and the server exits with 0", async (t) => {
  const node = await startNode(t);
  const polling = await node.connect({ transports: ["polling"] });
  const websocket = await node.connect({ transports: ["websocket"] });
  const upgraded = await node.connect({ transports: ["polling", "websocket"] });
  await upgraded.until(() => upgraded.upgraded);

  const exit = node.terminate();

  for (const client of [polling, websocket, upgraded]) await client.until(() => client.closed);
  assert.equal(await exit, 0);
});
