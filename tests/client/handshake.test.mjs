import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

const STANDARD = ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"];
const UPGRADES = { polling: ["websocket"], websocket: [] };

for (const transport of TRANSPORTS) {
  test(`the open packet tells session and account over ${transport}`, async (t) => {
    const node = await startNode(t);
    const { handshake } = await node.connect({ account: "bea", transports: [transport] });

    assert.deepEqual(Object.keys(handshake).sort(), [...STANDARD, "account", "session"].sort());
    assert.equal(handshake.account, "bea");
    assert.notEqual(handshake.session, handshake.sid);
    assert.deepEqual(handshake.upgrades, UPGRADES[transport]);
  });

  test(`whoami agrees with the open packet over ${transport}`, async (t) => {
    const node = await startNode(t);
    const client = await node.connect({ account: "bea", transports: [transport] });

    client.emit("whoami");

    const [{ args }] = await client.events(1);
    assert.deepEqual(args, ["bea", client.handshake.session, node.id]);
  });

  test(`the open packet of a raw server has the five standard keys over ${transport}`, async (t) => {
    const node = await startNode(t, "--raw");
    const { handshake } = await node.connect({ transports: [transport] });

    assert.deepEqual(Object.keys(handshake).sort(), STANDARD);
  });
}
