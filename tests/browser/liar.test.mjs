// A page that lies harms nobody else, and says what was refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bubble, enter, say } from "./people.mjs";
import { startChat } from "./server.mjs";

const alert = (page, text) => page.locator(".note.bad", { hasText: text });

/** Opens a chat with two people in the lobby and a liar in the given room. */
async function open(t, room) {
  const { url } = await startChat(t);
  const ann = await enter(t, url, "Ann");
  const ben = await enter(t, url, "Ben");
  const liar = await enter(t, url, "Liar", room);
  return { url, ann, ben, liar };
}

/** The two still talk, within a time that people do not notice, and hear nothing else. */
async function assertUndisturbed({ ann, ben }, heard = []) {
  const started = performance.now();
  await say(ann, "still here?");
  await bubble(ben, "still here?").waitFor();
  const took = performance.now() - started;
  assert.ok(took < 2000, `it took ${took} ms`);
  assert.deepEqual(await ben.locator(".bubble").allTextContents(), [...heard, "still here?"]);
  assert.deepEqual([...ann.faults, ...ben.faults], []);
}

test("events without validators are refused by name", async (t) => {
  const { ann, ben, liar } = await open(t, "lobby");

  await liar.evaluate(() => {
    globalThis.socket.emit("said", { id: "1", from: { id: "2", name: "Ann" }, text: "a lie", at: 0 });
    globalThis.socket.emit("shutdown");
    globalThis.socket.emit("error::handler", "x");
  });

  await alert(liar, "Refused “said”: no validator for this event.").waitFor();
  await alert(liar, "Refused “shutdown”").waitFor();
  await alert(liar, "Refused “error::handler”").waitFor();
  await assertUndisturbed({ ann, ben });
});

test("arguments of the wrong kind are refused with what is wrong", async (t) => {
  const { ann, ben, liar } = await open(t, "lobby");

  await liar.evaluate(() => {
    for (const args of [[], [1], [null], ["a", "b"], [{ text: "a" }], [["a"]], ["   "], ["a\u0000b"]]) {
      globalThis.socket.emit("say", ...args);
    }
  });

  await alert(liar, "Refused “say”: a text must be one text.").waitFor();
  await alert(liar, "Refused “say”: a text must not be empty.").waitFor();
  await alert(liar, "Refused “say”: a text must not contain control characters.").waitFor();
  await assertUndisturbed({ ann, ben });
});

test("texts of a megabyte reach nobody", async (t) => {
  const { ann, ben, liar } = await open(t, "lobby");

  await liar.evaluate(() => {
    for (let count = 0; count < 20; count++) globalThis.socket.emit("say", "x".repeat(999_000));
    globalThis.socket.emit("say", "x".repeat(1_000_001));
  });

  await alert(liar, "a text has at most 2000 characters").waitFor();
  await alert(liar, "Refused “say”: a message has at most 1000000 bytes.").waitFor();
  await assertUndisturbed({ ann, ben });
});

test("a thousand messages a second are slowed down, and disturb nobody", async (t) => {
  const { ann, ben, liar } = await open(t, "flood");
  await liar.evaluate(() => {
    globalThis.flood = setInterval(() => {
      for (let count = 0; count < 50; count++) globalThis.socket.emit("say", "flood");
    }, 50);
  });

  await alert(liar, "Refused “say”: too fast, please wait a moment.").waitFor();
  await liar.locator(".note.bad", { hasText: /\(\d{4,} times\)/ }).waitFor();
  await assertUndisturbed({ ann, ben });

  await liar.evaluate(() => clearInterval(globalThis.flood));
});

test("a flood in one's own room is a trickle for the others", async (t) => {
  const { ben, liar } = await open(t, "lobby");

  await liar.evaluate(() => {
    for (let count = 0; count < 3000; count++) globalThis.socket.emit("say", "flood");
  });
  await liar.locator(".note.bad", { hasText: /\(29\d\d times\)/ }).waitFor();

  const heard = await ben.locator(".bubble", { hasText: "flood" }).count();
  assert.ok(heard >= 10 && heard < 40, `${heard} messages came through`);
  assert.deepEqual(ben.faults, []);
});

test("a foreign account is out of reach of a connection", async (t) => {
  const { url, ann, ben, liar } = await open(t, "elsewhere");

  const answers = await liar.evaluate(async () => {
    const open = await (await fetch("/stream/?EIO=4&transport=polling&account=elsewhere")).text();
    const { sid } = JSON.parse(open.slice(1));
    const post = (account) =>
      fetch(`/stream/?EIO=4&transport=polling&account=${account}&sid=${sid}`, {
        method: "POST",
        body: '4{"event":"enter","args":["Ghost"]}',
      });
    const foreign = await post("lobby");
    const own = await post("elsewhere");
    const twice = await fetch("/stream/?EIO=4&transport=polling&account=elsewhere&account=lobby");
    return [foreign.status, own.status, twice.status];
  });

  assert.deepEqual(answers, [403, 200, 400], url);
  await liar.locator("#people bdi", { hasText: "Ghost" }).waitFor();
  assert.deepEqual(await ann.locator("#people bdi").allTextContents(), ["Ann", "Ben"]);
  await assertUndisturbed({ ann, ben });
});

test("who has not entered cannot speak", async (t) => {
  const { url, ann, ben, liar } = await open(t, "elsewhere");

  const { message, code } = await liar.evaluate(async () => {
    const { connect } = await import("/stream/primacron.js");
    const ghost = connect({ account: "lobby" });
    return ghost.request("say", "boo").catch(({ message, code }) => ({ message, code }));
  });

  assert.deepEqual([message, code], ["enter with a name first", "refused"], url);
  await assertUndisturbed({ ann, ben });
});
