import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeWebSocket, NodeXHR } from "engine.io-client";
import { startNode } from "./node.mjs";

class Pigeon extends NodeXHR {
  get name() {
    return "pigeon";
  }
}

class WebPigeon extends NodeWebSocket {
  get name() {
    return "pigeon";
  }
}

/** Dials, and gives the status and the JSON that a request over polling was refused with. */
async function refusalOfPolling(node, options) {
  const client = node.dial(options);
  await client.until(() => client.error);
  assert.equal(client.error.message, "xhr poll error");
  const { status, type, body } = client.refusal;
  assert.match(type, /^application\/json/);
  return { status, ...JSON.parse(body) };
}

/** Dials, and gives the text of the error that refused the WebSocket. */
async function refusalOfWebSocket(node, options) {
  const client = node.dial(options);
  await client.until(() => client.error);
  assert.equal(client.error.message, "websocket error");
  return client.error.description.message;
}

test("an unknown transport is refused over polling with 400 and code 0", async (t) => {
  const node = await startNode(t);

  const refusal = await refusalOfPolling(node, { transportImplementations: [Pigeon] });

  assert.deepEqual(refusal, { status: 400, code: 0, message: "Transport unknown" });
});

test("an unknown transport is refused over websocket with 400", async (t) => {
  const node = await startNode(t);

  const refusal = await refusalOfWebSocket(node, { transportImplementations: [WebPigeon] });

  assert.match(refusal, /\b400\b/);
});

test("a handshake without an account is refused over polling with 400 and JSON", async (t) => {
  const node = await startNode(t);

  const refusal = await refusalOfPolling(node, { account: null, transports: ["polling"] });

  assert.equal(refusal.status, 400);
  assert.equal(typeof refusal.code, "number");
  assert.equal(typeof refusal.message, "string");
});

test("a handshake without an account is refused over websocket with 400", async (t) => {
  const node = await startNode(t);

  const refusal = await refusalOfWebSocket(node, { account: null, transports: ["websocket"] });

  assert.match(refusal, /\b400\b/);
});

test("a refused handshake leaves no session behind", async (t) => {
  const node = await startNode(t);

  await refusalOfPolling(node, { account: null, transports: ["polling"] });
  await refusalOfPolling(node, { transportImplementations: [Pigeon] });

  assert.equal((await node.stats()).connections, 0);
});
