import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

for (const transport of TRANSPORTS) {
  test(`an event without a validator is refused by name over ${transport}`, async (t) => {
    const node = await startNode(t);
    const client = await node.connect({ transports: [transport] });

    client.emit("nobody-validates-this", "secret text");

    const [refusal] = await client.events(1);
    assert.equal(refusal.event, "error::validation");
    assert.ok(refusal.args.includes("nobody-validates-this"));
    assert.ok(!JSON.stringify(refusal).includes("secret text"), "the message itself is not told");
  });

  test(`a connection lives on after a refusal over ${transport}`, async (t) => {
    const node = await startNode(t);
    const client = await node.connect({ transports: [transport] });

    client.emit("nobody-validates-this");
    client.emit("echo", "still here");

    const [, echo] = await client.events(2);
    assert.deepEqual(echo, { event: "echo", args: ["still here"] });
  });
}
