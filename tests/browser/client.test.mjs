// The client on its own, in a page of the measuring server that has no script.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openWindow } from "./browser.mjs";
import { startProxy } from "./proxy.mjs";
import { startNode } from "./server.mjs";
import { DEADLINE_MS } from "./wait.mjs";

/** A page in which `connect` and `watched(options)` exist; the latter notes what happens to its socket. */
async function openPage(t, url) {
  const page = await openWindow(t);
  await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  await page.goto(`${url}/stats`);
  await page.evaluate(async (deadline) => {
    const { connect } = await import("/stream/primacron.js");
    globalThis.connect = connect;
    globalThis.watched = (options) => {
      globalThis.socket = connect({ account: "ann", backoff: { min: 20, max: 200 }, ...options });
      globalThis.changes = [];
      globalThis.drops = [];
      globalThis.heard = [];
      socket.addEventListener("statechange", ({ detail }) => changes.push(detail));
      socket.addEventListener("drop", ({ detail }) => drops.push(detail));
      socket.on("echo", (text) => heard.push(text));
      globalThis.until = (condition) =>
        new Promise((resolve, reject) => {
          const end = performance.now() + deadline;
          const look = () => {
            if (condition()) resolve();
            else if (performance.now() < end) setTimeout(look, 5);
            else reject(new Error(`waited ${deadline} ms for ${condition}`));
          };
          look();
        });
      globalThis.outcome = (promise) =>
        promise.then(
          (args) => ({ args }),
          ({ message, code }) => ({ message, code }),
        );
    };
  }, DEADLINE_MS);
  return page;
}

const connected = (page, options) =>
  page.evaluate(async (given) => {
    watched(given);
    await until(() => socket.state === "connected");
    return { transport: socket.transport, account: socket.account, session: socket.session };
  }, options);

/** Counts the answers to pings in `pongs`. */
const countPongs = (page) =>
  page.evaluate(() => {
    globalThis.pongs = 0;
    const { fetch } = globalThis;
    const { send } = WebSocket.prototype;
    const count = (data) => (pongs += Number(data === "3"));
    globalThis.fetch = (url, options) => (count(options.body), fetch(url, options));
    WebSocket.prototype.send = function (data) {
      count(data);
      send.call(this, data);
    };
  });

test("the script is served with a strong tag, and not twice", async (t) => {
  const { url } = await startNode(t);

  const first = await fetch(`${url}/stream/primacron.js`);
  const tag = first.headers.get("etag");
  const again = await fetch(`${url}/stream/primacron.js`, { headers: { "if-none-match": tag } });
  const head = await fetch(`${url}/stream/primacron.js`, { method: "HEAD" });

  assert.equal(first.headers.get("content-type"), "text/javascript; charset=utf-8");
  assert.equal(first.headers.get("x-content-type-options"), "nosniff");
  assert.equal(first.headers.get("cache-control"), "no-cache");
  assert.match(tag, /^"[^"]+"$/);
  assert.equal(again.status, 304);
  assert.equal(head.headers.get("content-length"), String((await first.arrayBuffer()).byteLength));
  assert.equal(head.headers.get("etag"), tag);
});

test("a connection begins with a websocket", async (t) => {
  const page = await openPage(t, (await startNode(t)).url);

  const { transport, account, session } = await connected(page);

  assert.deepEqual([transport, account], ["websocket", "ann"]);
  assert.ok(session.length > 10);
  assert.deepEqual(await page.evaluate(() => changes.map(({ state }) => state)), ["connected"]);
  assert.deepEqual(page.faults, []);
});

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  test(`events and requests are answered over ${transports.join(" and ")}`, async (t) => {
    const page = await openPage(t, (await startNode(t)).url);
    await connected(page, { transports });

    const found = await page.evaluate(async () => {
      socket.emit("echo", "ä\u{1F600}\u2028");
      const answers = await Promise.all([socket.request("echo", "one"), socket.request("echo", "two")]);
      return { answers, heard };
    });

    assert.deepEqual(found, { answers: [["one"], ["two"]], heard: ["ä\u{1F600}\u2028"] });
    assert.deepEqual(page.faults, []);
  });
}

test("a refused request is rejected with the server's text, and told as an event", async (t) => {
  const page = await openPage(t, (await startNode(t)).url);
  await connected(page);

  const found = await page.evaluate(async () => {
    const told = [];
    socket.on("error::validation", (...args) => told.push(args));
    return { outcome: await outcome(socket.request("dance", 1)), told };
  });

  assert.deepEqual(found.outcome, { message: "no validator for this event", code: "refused" });
  assert.deepEqual(found.told, [["dance", "no validator for this event"]]);
});

test("what JSON cannot express fails at once", async (t) => {
  const page = await openPage(t, (await startNode(t)).url);
  await connected(page);

  const found = await page.evaluate(async () => (await outcome(socket.request("echo", 1n))).message);

  assert.match(found, /BigInt/);
});

for (const upgrades of ["refuse", "ignore"]) {
  test(`polling carries on where websockets are met with ${upgrades}`, async (t) => {
    const node = await startNode(t);
    const proxy = await startProxy(t, node.url, { upgrades });
    const page = await openPage(t, proxy.url);

    const { transport } = await connected(page, { openTimeout: 300 });
    const answers = await page.evaluate(() => Promise.all(["a", "b"].map((text) => socket.request("echo", text))));

    assert.equal(transport, "polling");
    assert.deepEqual(answers, [["a"], ["b"]]);
  });
}

test("a websocket that breaks off while it takes over costs nothing", async (t) => {
  const node = await startNode(t);
  const proxy = await startProxy(t, node.url, { upgrades: "drop" });
  const page = await openPage(t, proxy.url);
  // Before the client connects: its first try may be over before the page is asked again.
  await page.evaluate(() => {
    const { close } = WebSocket.prototype;
    globalThis.attempts = 0;
    WebSocket.prototype.close = function () {
      globalThis.attempts++;
      close.call(this);
    };
  });
  await connected(page, { transports: ["polling", "websocket"] });

  const found = await page.evaluate(async () => {
    let sent = 0;
    do {
      socket.emit("echo", String(sent++));
      await new Promise((resolve) => setTimeout(resolve));
    } while (globalThis.attempts === 0);
    const answer = await socket.request("echo", "after");
    return { answer, heard, sent };
  });

  assert.deepEqual(found.answer, ["after"]);
  assert.deepEqual(found.heard, Array.from({ length: found.sent }, (_, index) => String(index)));
  assert.deepEqual(await page.evaluate(() => [socket.transport, changes.length]), ["polling", 1]);
});

test("an upgrade in the middle of a burst keeps the order both ways", async (t) => {
  const page = await openPage(t, (await startNode(t)).url);

  const found = await page.evaluate(async () => {
    watched({ transports: ["polling", "websocket"] });
    await until(() => socket.state === "connected");
    let before = 0;
    let sent = 0;
    while (sent < 3000 || socket.transport === "polling") {
      socket.emit("echo", String(sent++));
      if (socket.transport === "polling") before = sent;
      if (sent % 20 === 0) await new Promise((resolve) => setTimeout(resolve));
    }
    await until(() => heard.length >= sent);
    return { before, sent, isOrdered: heard.every((text, index) => text === String(index)), transport: socket.transport };
  });

  assert.equal(found.transport, "websocket");
  assert.ok(found.before > 0 && found.before < found.sent, JSON.stringify(found));
  assert.ok(found.isOrdered);
  assert.deepEqual(page.faults, []);
});

test("no POST is larger than the server takes", async (t) => {
  const node = await startNode(t, ["--max-payload", "1000"]);
  const proxy = await startProxy(t, node.url);
  const page = await openPage(t, proxy.url);
  await connected(page, { transports: ["polling"] });

  const answers = await page.evaluate(() =>
    Promise.all(Array.from({ length: 50 }, (_, index) => socket.request("echo", `${index} ${"é".repeat(150)}`))),
  );

  const posts = proxy.requests.filter(({ method }) => method === "POST");
  assert.equal(answers.length, 50);
  assert.ok(posts.length > 10 && posts.length < 50, `${posts.length} requests`);
  assert.ok(posts.every(({ bytes }) => bytes <= 1000));
});

test("a message that the server does not take is dropped, and the next one goes", async (t) => {
  const page = await openPage(t, (await startNode(t, ["--max-payload", "1000"])).url);
  await connected(page);

  const found = await page.evaluate(async () => {
    socket.emit("echo", "x".repeat(1000));
    const large = await outcome(socket.request("echo", "é".repeat(500)));
    return { large, drops, next: await socket.request("echo", "small") };
  });

  const reason = "a message has at most 1000 bytes";
  assert.deepEqual(found, { large: { message: reason, code: "dropped" }, drops: [{ event: "echo", reason }], next: ["small"] });
});

test("a client comes back after a crash, and what waited arrives once and in order", async (t) => {
  const node = await startNode(t);
  const page = await openPage(t, node.url);
  const { session } = await connected(page);

  await node.kill();
  await page.evaluate(async () => {
    await until(() => socket.state === "reconnecting");
    for (const text of ["one", "two", "three"]) socket.emit("echo", text);
  });
  await startNode(t, [], node.port);
  const found = await page.evaluate(async () => {
    await until(() => heard.length === 3);
    const answer = await socket.request("echo", "four");
    return { heard, answer, session: socket.session, states: changes.map(({ state }) => state) };
  });

  assert.deepEqual(found.heard, ["one", "two", "three"]);
  assert.deepEqual(found.answer, ["four"]);
  assert.notEqual(found.session, session);
  assert.deepEqual([found.states[0], found.states[1], found.states.at(-1)], ["connected", "reconnecting", "connected"]);
});

test("a request that was under way when the connection was lost is rejected", async (t) => {
  const node = await startNode(t);
  const proxy = await startProxy(t, node.url);
  const page = await openPage(t, proxy.url);
  await connected(page);

  proxy.fallSilent();
  await page.evaluate(() => {
    globalThis.asked = outcome(socket.request("echo", "x"));
  });
  await proxy.stop();

  assert.equal((await page.evaluate(() => asked)).code, "disconnected");
});

test("a request without an answer is given up in time", async (t) => {
  const node = await startNode(t);
  const proxy = await startProxy(t, node.url);
  const page = await openPage(t, proxy.url);
  await connected(page, { requestTimeout: 100 });

  proxy.fallSilent();

  assert.equal((await page.evaluate(() => outcome(socket.request("echo", "x")))).code, "timeout");
});

test("a request that was given up while it waited is not sent later", async (t) => {
  const node = await startNode(t);
  const page = await openPage(t, node.url);
  await connected(page, { requestTimeout: 50 });

  await node.kill();
  const code = await page.evaluate(async () => {
    await until(() => socket.state === "reconnecting");
    return (await outcome(socket.request("broadcast", "late"))).code;
  });
  await startNode(t, [], node.port);
  const found = await page.evaluate(async () => {
    const broadcasts = [];
    socket.on("broadcast", (text) => broadcasts.push(text));
    await until(() => socket.state === "connected");
    socket.emit("broadcast", "next");
    await until(() => broadcasts.length > 0);
    return broadcasts;
  });

  assert.equal(code, "timeout");
  assert.deepEqual(found, ["next"]);
});

test("a full buffer drops the oldest", async (t) => {
  const node = await startNode(t);
  const page = await openPage(t, node.url);
  await connected(page, { buffer: 2 });

  await node.kill();
  const found = await page.evaluate(async () => {
    await until(() => socket.state === "reconnecting");
    const first = outcome(socket.request("echo", "0"));
    for (const text of ["1", "2", "3"]) socket.emit("echo", text);
    return { first: (await first).code, drops };
  });
  await startNode(t, [], node.port);
  const heard = await page.evaluate(async () => {
    await until(() => heard.length === 2);
    return heard;
  });

  assert.equal(found.first, "dropped");
  assert.deepEqual(found.drops.map(({ event }) => event), ["echo"]);
  assert.deepEqual(heard, ["2", "3"]);
});

for (const transports of [["websocket"], ["polling"]]) {
  test(`a server that falls silent is given up, over ${transports}`, async (t) => {
    const node = await startNode(t, ["--ping-interval-ms", "300", "--ping-timeout-ms", "1500"]);
    const proxy = await startProxy(t, node.url);
    const page = await openPage(t, proxy.url);
    await countPongs(page);
    await connected(page, { transports, openTimeout: 1000 });
    await page.evaluate(() => until(() => pongs === 3));
    assert.equal(await page.evaluate(() => changes.length), 1, "both sides are content with each other");

    proxy.fallSilent();
    const { reason } = await page.evaluate(async () => {
      await until(() => changes.length > 1);
      return changes[1];
    });
    proxy.speak();
    await page.evaluate(() => until(() => socket.state === "connected"));

    assert.equal(reason, "the server was not heard of");
  });
}

test("a refused handshake closes, and says why", async (t) => {
  const page = await openPage(t, (await startNode(t)).url);

  const found = await page.evaluate(async () => {
    watched({ account: undefined });
    await until(() => socket.state === "closed");
    return { reason: changes.at(-1).reason, outcome: await outcome(socket.request("echo", "x")) };
  });

  assert.equal(found.reason, "account is missing");
  assert.deepEqual(found.outcome, { message: "the connection is closed", code: "dropped" });
});

test("each try waits longer than the one before, but not for ever, and never exactly as long", async (t) => {
  const node = await startNode(t);
  const page = await openPage(t, node.url);
  await connected(page, { backoff: { min: 8, max: 64 } });

  await node.kill();
  const delays = await page.evaluate(async () => {
    await until(() => changes.length > 8);
    return changes.slice(1, 9).map(({ delay }) => delay);
  });

  for (const [index, delay] of delays.entries()) {
    const longest = Math.min(64, 8 * 2 ** index);
    assert.ok(delay >= longest / 2 && delay <= longest, `try ${index} after ${delay} ms`);
  }
  assert.equal(new Set(delays).size, delays.length);
});

test("a closed connection stays closed until it is opened", async (t) => {
  const page = await openPage(t, (await startNode(t)).url);
  await connected(page);

  const found = await page.evaluate(async () => {
    socket.close();
    const refused = (await outcome(socket.request("echo", "x"))).code;
    const { state } = socket;
    socket.open();
    return { state, refused, answer: await socket.request("echo", "back") };
  });

  assert.deepEqual(found, { state: "closed", refused: "dropped", answer: ["back"] });
});

test("a listener that throws harms no other, and one that was taken off hears nothing", async (t) => {
  const page = await openPage(t, (await startNode(t)).url);
  await connected(page);

  const heard = await page.evaluate(async () => {
    const heard = [];
    const off = socket.on("echo", () => heard.push("taken off"));
    socket.on("echo", () => {
      throw new Error("on purpose");
    });
    socket.on("echo", () => heard.push("last"));
    off();
    socket.emit("echo", "x");
    await until(() => heard.length > 0);
    return heard;
  });

  assert.deepEqual(heard, ["last"]);
  assert.deepEqual(page.faults.filter((fault) => !fault.includes("on purpose")), []);
});
