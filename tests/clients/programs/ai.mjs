// The AI SDK (`ai`) by its providers for OpenAI-compatible servers, OpenAI's Responses, Anthropic and Google, before each
// of Fulcrum's providers; prints what it got as JSON. The first argument is the folder of the modules.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.argv[2], "here.js"));
const load = async (name) => import(pathToFileURL(require.resolve(name)).href);
const { APICallError, generateText, Output, stepCountIs, streamText, tool } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { createGoogleGenerativeAI } = await load("@ai-sdk/google");
const { z } = await load("zod");

globalThis.AI_SDK_LOG_WARNINGS = false;
const baseURL = process.env.FULCRUM_BASE_URL;
const waysWith = (apiKey) => {
  const compatible = { name: "fulcrum", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true };
  return {
    compatible: createOpenAICompatible(compatible),
    openai: createOpenAI({ baseURL, apiKey }),
    anthropic: createAnthropic({ baseURL, apiKey }),
    google: createGoogleGenerativeAI({ baseURL: baseURL.replace(/\/v1$/, "/v1beta"), apiKey }),
  };
};
// A name with a slash is a path to Google's provider, which then has to say what it names.
const named = (way, model) => (way === "google" && model.includes("/") ? `models/${model}` : model);
const ways = waysWith(process.env.FULCRUM_KEY);
const ask = { system: "You watch the sea.", prompt: "When does the tide turn?", maxOutputTokens: 200, maxRetries: 0 };
const get_tide = tool({
  description: "The tide at a place",
  inputSchema: z.object({ place: z.string() }),
  execute: async ({ place }) => `high at ${place}`,
});
const tide = z.object({ place: z.string(), hours: z.array(z.number()), note: z.string().nullable() });
const asksTool = { ...ask, prompt: "How is the tide at 'Malmö'?", tools: { get_tide }, stopWhen: stepCountIs(3) };
const asksTide = { ...ask, prompt: "The tide at 'Malmö' turns at 6", output: Output.object({ schema: tide }) };
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const usageOf = (usage) => ({
  input: usage.inputTokens,
  cached: usage.inputTokenDetails.cacheReadTokens,
  output: usage.outputTokens,
  reasoning: usage.outputTokenDetails.reasoningTokens,
});

async function whole(model) {
  const { text, finishReason, usage } = await generateText({ model, ...ask });
  return { text, finishReason, usage: usageOf(usage) };
}

async function stream(model) {
  const result = streamText({ model, ...ask, onError: () => {} });
  let text = "";
  let pieces = 0;
  for await (const piece of result.textStream) {
    text += piece;
    pieces += 1;
  }
  return { text, pieces, finishReason: await result.finishReason, usage: usageOf(await result.usage) };
}

async function tools(model) {
  const { text, steps } = await generateText({ model, ...asksTool });
  return { text, calls: steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input])), steps: steps.length };
}

async function toolsStreamed(model) {
  const result = streamText({ model, ...asksTool, onError: () => {} });
  const kinds = new Set();
  for await (const part of result.fullStream) {
    kinds.add(part.type);
    if (part.type === "error") throw part.error;
  }
  const steps = await result.steps;
  return {
    text: await result.text,
    calls: steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input])),
    steps: steps.length,
    grew: kinds.has("tool-input-delta"),
  };
}

async function forced(model) {
  const { toolCalls, finishReason } = await generateText({ model, ...asksTool, stopWhen: stepCountIs(1), toolChoice: "required" });
  return { calls: toolCalls.map((call) => call.input), finishReason };
}

const object = async (model) => (await generateText({ model, ...asksTide })).output;

async function objectStreamed(model) {
  const result = streamText({ model, ...asksTide, onError: () => {} });
  let partials = 0;
  for await (const _ of result.partialOutputStream) partials += 1;
  return { partials, last: await result.output };
}

async function image(model) {
  const content = [
    { type: "text", text: "What is this?" },
    { type: "file", data: pixel, mediaType: "image/png" },
  ];
  const { text } = await generateText({ model, ...ask, prompt: undefined, messages: [{ role: "user", content }] });
  return text;
}

async function refusal(call) {
  try {
    await call();
    return null;
  } catch (error) {
    const found = error.lastError ?? error;
    return {
      isCall: APICallError.isInstance(found),
      class: found.name,
      status: found.statusCode ?? null,
      retryable: found.isRetryable ?? null,
      says: String(found.message),
    };
  }
}

const drained = async (model) => {
  const result = streamText({ model, ...ask, onError: () => {} });
  for await (const part of result.fullStream) if (part.type === "error") throw part.error;
};

const faults = async (way) => ({
  key: await refusal(() => generateText({ model: waysWith("fk-wrong")[way]("fast"), ...ask })),
  model: await refusal(() => generateText({ model: ways[way]("no-such"), ...ask })),
  field: await refusal(() => generateText({ model: ways[way]("fast"), ...ask, maxOutputTokens: 10 ** 12 })),
  limited: await refusal(() => generateText({ model: ways[way](named(way, `simulated/ai-${way}-quota-instant`)), ...ask })),
  connect: await refusal(() => generateText({ model: ways[way](named(way, "gone/model")), ...ask })),
  streamed: await refusal(() => drained(ways[way]("no-such"))),
  cut: await refusal(() => drained(ways[way](named(way, `simulated/ai-${way}-cut-instant`)))),
  event: await refusal(() => drained(ways[way](named(way, `simulated/ai-${way}-error-event-instant`)))),
});

async function outcome(call) {
  try {
    return await call();
  } catch (error) {
    return `${error.name}: ${error.message} ${error.responseBody ?? ""}`.slice(0, 900);
  }
}

const observed = {};
for (const provider of process.env.FULCRUM_PROVIDERS.split(",")) {
  observed[provider] = {};
  for (const [way, of] of Object.entries(ways)) {
    const outcomes = (observed[provider][way] = {});
    for (const of_case of [whole, stream, tools, toolsStreamed, forced, object, objectStreamed, image]) {
      outcomes[of_case.name] = await outcome(() => of_case(of(named(way, `${provider}/ai`))));
    }
  }
}
const refused = {};
for (const way of Object.keys(ways)) refused[way] = await outcome(() => faults(way));
console.log(JSON.stringify({ observed, refused }));
