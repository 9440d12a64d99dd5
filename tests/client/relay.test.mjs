import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Agent } from "node:http";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Client, TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

const COUNT = 300;
const texts = Array.from({ length: COUNT }, (_, i) => `text ${i}`);

const listening = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

async function freePort() {
  const server = createServer();
  const port = await listening(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A Redis that keeps nothing and ends with the test. */
async function startRedis(t) {
  const port = await freePort();
  const redis = spawn("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", ""], { stdio: "ignore" });
  t.after(() => redis.kill("SIGKILL"));
  process.once("exit", () => redis.kill("SIGKILL"));
  return `redis://127.0.0.1:${port}`;
}

/** Nodes that reach one another. */
async function startNodes(t, count) {
  const redis = await startRedis(t);
  const flags = ["--redis", redis, "--advertise", "http://127.0.0.1:0"];
  const nodes = [];
  for (let i = 0; i < count; i++) nodes.push(await startNode(t, ...flags));
  await untilMet(nodes);
  return nodes;
}

/** Waits until every node finds the clients of all others, and so has read their leases. */
async function untilMet(nodes) {
  const scouts = [];
  for (const node of nodes) scouts.push(await node.connect());
  for (const scout of scouts) {
    for (const { handshake } of scouts) {
      let found = "not asked";
      while (found !== "found") {
        scout.emit("find", "ann", handshake.session);
        [found] = (await scout.events(1))[0].args;
        if (found !== "found") await pause(10);
      }
    }
  }
  for (const scout of scouts) await scout.close();
}

/** A balancer that sends every connection to the next node. */
async function startBalancer(t, nodes) {
  let turn = 0;
  const taken = nodes.map(() => 0);
  const sockets = new Set();
  const balancer = createServer((client) => {
    const next = turn++ % nodes.length;
    taken[next]++;
    const node = connect(new URL(nodes[next].url).port, "127.0.0.1");
    for (const [from, to] of [[client, node], [node, client]]) {
      sockets.add(from);
      from.on("error", () => to.destroy()).pipe(to);
    }
  });
  const port = await listening(balancer);
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    balancer.close();
  });
  return { url: `http://127.0.0.1:${port}`, taken };
}

async function echoesAll(client) {
  for (const text of texts) client.emit("echo", text);
  const answers = await client.events(COUNT);
  assert.deepEqual(answers.map(({ args }) => args[0]), texts);
}

/** Every request is a connection of its own, and so goes to another node than the one before. */
const scattered = (options) => ({ agent: new Agent({ keepAlive: false }), ...options });

test("a client on polling needs no balancer that keeps it on its node", async (t) => {
  const balancer = await startBalancer(t, await startNodes(t, 2));
  const client = new Client(balancer.url, scattered({ transports: ["polling"] }));
  await client.until(() => client.handshake);

  for (let round = 0; round < 5; round++) await echoesAll(client);

  assert.ok(Math.min(...balancer.taken) > 5, `both nodes had requests: ${balancer.taken}`);
  await client.close();
});

test("an upgrade may go to another node, and everything after it", async (t) => {
  const nodes = await startNodes(t, 3);
  const balancer = await startBalancer(t, nodes);
  for (let number = 0; number < 6; number++) {
    const client = new Client(balancer.url, scattered({ transports: TRANSPORTS }));
    await client.until(() => client.upgraded);
    await echoesAll(client);
    await client.close();
  }
});

test("a client whose node has died connects anew", async (t) => {
  const nodes = await startNodes(t, 2);
  const balancer = await startBalancer(t, nodes);
  const client = new Client(balancer.url, scattered({ transports: ["polling"] }));
  await client.until(() => client.handshake);
  client.emit("whoami");
  const [{ args }] = await client.events(1);
  const own = nodes.find(({ id }) => id === args[2]);

  await own.kill();
  const closed = new Promise((resolve) => client.socket.on("close", resolve));
  await closed;

  const again = await nodes.find((node) => node !== own).connect();
  again.emit("whoami");
  assert.equal((await again.events(1))[0].args[2], nodes.find((node) => node !== own).id);
});
