// Anthropic's Node SDK against the gateway; prints what it got as JSON. The first argument is the SDK's package, as a path.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(import.meta.url);
const { default: Anthropic } = await import(pathToFileURL(require.resolve(process.argv[2])).href);
const baseURL = process.env.FULCRUM_BASE_URL.replace(/\/v1$/, "");
const client = new Anthropic({ baseURL, apiKey: process.env.FULCRUM_KEY });
const ask = { model: "fast", max_tokens: 200, messages: [{ role: "user", content: "Tell me of boats." }] };
const weather = {
  name: "get_weather",
  description: "The weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const askWeather = {
  ...ask,
  messages: [{ role: "user", content: "What is the weather in Paris and London?" }],
  tools: [weather],
};
const citiesOf = (message) => message.content.filter((block) => block.type === "tool_use").map((call) => call.input.city);

async function whole() {
  const { data, request_id } = await client.messages.create(ask).withResponse();
  return { text: data.content[0].text, usage: data.usage, stop: data.stop_reason, request: request_id };
}

async function events() {
  const kinds = [];
  let text = "";
  for await (const event of await client.messages.create({ ...ask, stream: true })) {
    if (event.type === "content_block_delta") text += event.delta.text;
    else kinds.push(event.type);
  }
  return { kinds, text };
}

async function stream() {
  const message = await client.messages.stream(ask).finalMessage();
  return { text: message.content[0].text, usage: message.usage, stop: message.stop_reason };
}

async function tools() {
  const streamed = await client.messages.stream(askWeather).finalMessage();
  return {
    whole: citiesOf(await client.messages.create(askWeather)),
    streamed: citiesOf(streamed),
    stop: streamed.stop_reason,
  };
}

async function refusal(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      type: error.error?.error?.type,
      message: error.message,
    };
  }
}

const drained = async (model) => {
  for await (const _ of await client.messages.create({ ...ask, model, stream: true }));
};

console.log(
  JSON.stringify({
    whole: await whole(),
    events: await events(),
    stream: await stream(),
    tools: await tools(),
    count: (await client.messages.countTokens({ model: "fast", messages: ask.messages })).input_tokens,
    errors: {
      key: await refusal(() => new Anthropic({ baseURL, apiKey: "fk-wrong" }).messages.create(ask)),
      model: await refusal(() => client.messages.create({ ...ask, model: "no-such" })),
      field: await refusal(() => client.messages.create({ ...ask, max_tokens: -1 })),
      limited: await refusal(() =>
        client.messages.create({ ...ask, model: "simulated/quota-instant" }, { maxRetries: 0 }),
      ),
      cut: await refusal(() => drained("simulated/anthropic-node-cut-instant")),
      event: await refusal(() => drained("simulated/anthropic-node-error-event-instant")),
    },
  }),
);
