// OpenAI's own client for Node against `openai_proxy`: prints what it saw, as JSON.
import OpenAI from "openai";

const [baseURL, key, teacherKey, nobody, busy] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: key, maxRetries: 0 });
const teacher = new OpenAI({ baseURL, apiKey: teacherKey, maxRetries: 0 });
const model = "gpt-6-luna";
const messages = [{ role: "user", content: "Why is the sky blue?" }];
const tools = [{ type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } }];
const seen = {};

async function failure(call) {
  try {
    await call();
    return "no error";
  } catch (error) {
    const { name, status, code, param } = error;
    const retryAfter = error.headers?.get?.("retry-after") ?? null;
    return { kind: error.constructor.name, name, status, code, param, retryAfter };
  }
}

const whole = await client.chat.completions.create({ model, messages });
seen.whole = whole.choices[0].message.content;

let text = "";
let chunks = 0;
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  text += chunk.choices[0].delta.content ?? "";
  chunks += 1;
}
seen.streamed = text;
seen.chunks = chunks;

let usage = null;
const options = { model, messages, stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create(options)) usage = chunk.usage ?? usage;
seen.usage = usage.total_tokens;

seen.response = (await client.responses.create({ model, input: "Why?" })).output_text;
const events = [];
for await (const event of await client.responses.create({ model, input: "Why?", stream: true })) events.push(event.type);
seen.lastEvent = events.at(-1);

const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"] });
seen.vectors = vectors.data.map((each) => each.embedding.length);

seen.models = [];
for await (const each of client.models.list()) seen.models.push(each.id);

seen.tools = await failure(() => client.chat.completions.create({ model, messages, tools }));
seen.teacherTools = (await teacher.chat.completions.create({ model, messages, tools })).choices.length;
seen.unknownModel = await failure(() => client.chat.completions.create({ model: "gpt-6.1-terra", messages }));
seen.refused = await failure(() => client.chat.completions.create({ model, messages, n: 3 }));
const stranger = new OpenAI({ baseURL, apiKey: nobody, maxRetries: 0 });
seen.stranger = await failure(() => stranger.models.list());

const faulty = (fault) => ({ headers: { "x-tutor-fault": fault } });
const other = [{ role: "user", content: "Something else?" }];
seen.broken = await failure(async () => {
  for await (const _ of await client.chat.completions.create(
    { model, messages: other, stream: true },
    faulty("truncated"),
  ));
});
seen.malformed = await failure(() => client.chat.completions.create({ model, messages: other }, faulty("malformed")));

const limited = new OpenAI({ baseURL, apiKey: busy, maxRetries: 0 });
for (let n = 0; n < 40; n += 1) {
  seen.limited = await failure(() => limited.models.list());
  if (seen.limited !== "no error") break;
}
console.log(JSON.stringify(seen));
