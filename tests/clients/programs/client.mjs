// The Node SDK against the gateway; prints what it got as JSON. The first argument is the SDK's package, as a path.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(import.meta.url);
const { default: OpenAI } = await import(pathToFileURL(require.resolve(process.argv[2])).href);
const client = new OpenAI({ baseURL: process.env.FULCRUM_BASE_URL, apiKey: process.env.FULCRUM_KEY });
const ask = { model: "fast", messages: [{ role: "user", content: "Tell me of boats." }] };
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const askWeather = {
  model: "fast",
  messages: [{ role: "user", content: "What is the weather in Paris and London?" }],
  tools: [weather],
};
const citiesOf = (calls) => calls.map((call) => JSON.parse(call.function.arguments).city);

async function whole() {
  const { data, response } = await client.chat.completions.create(ask).withResponse();
  return {
    text: data.choices[0].message.content,
    usage: data.usage,
    request: response.headers.get("x-fulcrum-request-id"),
    model: response.headers.get("x-fulcrum-model"),
  };
}

async function stream() {
  let text = "";
  let usage = null;
  for await (const chunk of await client.chat.completions.create({
    ...ask,
    stream: true,
    stream_options: { include_usage: true },
  })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return { text, usage };
}

async function tools() {
  const answer = await client.chat.completions.create(askWeather);
  const streamed = await client.chat.completions.stream(askWeather).finalChatCompletion();
  return {
    whole: citiesOf(answer.choices[0].message.tool_calls),
    streamed: citiesOf(streamed.choices[0].message.tool_calls),
    finish: streamed.choices[0].finish_reason,
  };
}

async function hangUp() {
  const { data, response } = await client.chat.completions
    .create({ ...ask, model: "simulated/long-slow-story", stream: true })
    .withResponse();
  for await (const chunk of data) {
    if (chunk.choices[0].delta.content) break;
  }
  return response.headers.get("x-fulcrum-request-id");
}

async function refusal(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { class: error.constructor.name, status: error.status ?? null, code: error.code, param: error.param };
  }
}

const drained = async (model) => {
  for await (const _ of await client.chat.completions.create({ ...ask, model, stream: true }));
};
const vectors = await client.embeddings.create({ model: "vectors", input: ["a", "b"] });
const models = [];
for await (const model of client.models.list()) models.push(model.id);

console.log(
  JSON.stringify({
    node: process.version,
    whole: await whole(),
    stream: await stream(),
    tools: await tools(),
    embeddings: vectors.data.map((item) => ({ length: item.embedding.length, norm: Math.hypot(...item.embedding) })),
    models,
    prompt: (
      await client.chat.completions.create({
        model: "prompt/product-categoriser",
        messages: [],
        prompt: { variables: { title: "Cast-iron pan" } },
      })
    ).choices[0].message.content,
    hangUp: await hangUp(),
    errors: {
      key: await refusal(() => new OpenAI({ baseURL: client.baseURL, apiKey: "fk-wrong" }).models.list()),
      model: await refusal(() => client.chat.completions.create({ ...ask, model: "no-such" })),
      field: await refusal(() => client.chat.completions.create({ ...ask, temperature: 9 })),
      prompt: await refusal(() => client.chat.completions.create({ ...ask, model: "prompt/no-such" })),
      provider: await refusal(() => client.chat.completions.create({ ...ask, model: process.env.FULCRUM_DOWN })),
      limited: await refusal(() =>
        client.chat.completions.create({ ...ask, model: "simulated/quota-instant" }, { maxRetries: 0 }),
      ),
      cut: await refusal(() => drained("simulated/node-cut-instant")),
      event: await refusal(() => drained("simulated/node-error-event-instant")),
    },
  }),
);
