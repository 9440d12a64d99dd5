import assert from "node:assert/strict";
import { test } from "node:test";
import { TRANSPORTS } from "./client.mjs";
import { startNode } from "./node.mjs";

const TEXTS = [
  "line \u2028 and paragraph \u2029 separators",
  "NUL \u0000 in the middle",
  "astral \u{1F600} \u{10FFFF} \u{20000}",
  'a lone " and two ""',
  "a lone \\ and two \\\\ and \\n that is no newline",
  "newline \n return \r tab \t delete \u007F",
  "combined e\u0301, right to left \u202E, zero width \u200D\uFEFF",
];

// Only events can carry these: bare, the first would part a polling payload, and the client gives no text for the second.
const EVENT_TEXTS = [...TEXTS, "record \u001E separator", ""];

for (const transport of TRANSPORTS) {
  test(`every character survives an event over ${transport}`, async (t) => {
    const node = await startNode(t);
    const client = await node.connect({ transports: [transport] });

    for (const text of EVENT_TEXTS) client.emit("echo", text);

    const answers = await client.events(EVENT_TEXTS.length);
    assert.deepEqual(answers.map(({ args }) => args[0]), EVENT_TEXTS);
  });

  test(`every character survives a raw message over ${transport}`, async (t) => {
    const node = await startNode(t, "--raw");
    const client = await node.connect({ transports: [transport] });

    for (const text of TEXTS) client.socket.send(text);

    assert.deepEqual(await client.messages(TEXTS.length), TEXTS);
  });
}
