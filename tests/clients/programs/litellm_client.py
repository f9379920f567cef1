"""litellm as a client, by its ways of speaking to OpenAI, Anthropic and Gemini, before each provider; prints JSON."""

import asyncio
import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet for prices

import litellm  # noqa: E402

URL, KEY = os.environ["FULCRUM_BASE_URL"], os.environ["FULCRUM_KEY"]
ROOT = URL.removesuffix("/v1")
ASK = [{"role": "system", "content": "You watch the sea."}, {"role": "user", "content": "When does the tide turn?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_tide",
        "description": "The tide at a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
WEATHER = [{"role": "user", "content": "How is the tide at 'Malmö'?"}]
SCHEMA = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "hour": {"type": "integer"}},
    "required": ["place", "hour"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "tide", "schema": SCHEMA, "strict": True}}
# It looks for tools of MCP servers by a package that it does not ask to be installed.
NO_MCP = {"_skip_mcp_handler": True}
litellm.suppress_debug_info = True
litellm.num_retries = 0


def fields(way, model):
    """How litellm is configured for a gateway, in each of its ways."""
    return {
        "openai": {"model": f"openai/{model}", "api_base": URL},
        "anthropic": {"model": f"anthropic/{model}", "api_base": ROOT},
        "gemini": {"model": f"gemini/{model}", "api_base": f"{ROOT}/v1beta"},
    }[way] | {"api_key": KEY, "max_tokens": 200, "timeout": 60, "max_retries": 0}


def of_usage(usage):
    details = usage.prompt_tokens_details
    return [usage.prompt_tokens, (details and details.cached_tokens) or 0, usage.completion_tokens, usage.total_tokens]


def whole(way, model):
    answer = litellm.completion(messages=ASK, **fields(way, model))
    choice = answer.choices[0]
    return {"text": choice.message.content, "finish": choice.finish_reason, "usage": of_usage(answer.usage)}


def gathered(chunks, messages):
    answer = litellm.stream_chunk_builder(chunks, messages=messages)
    choice = answer.choices[0]
    calls = [[call.function.name, json.loads(call.function.arguments)] for call in choice.message.tool_calls or []]
    parts = {"text": choice.message.content, "finish": choice.finish_reason, "usage": of_usage(answer.usage)}
    return parts | {"calls": calls, "chunks": len(chunks)}


def streamed(way, model, messages=ASK, **more):
    stream = litellm.completion(
        messages=messages, stream=True, stream_options={"include_usage": True}, **fields(way, model), **more
    )
    return gathered(list(stream), messages)


async def later(way, model):
    stream = await litellm.acompletion(
        messages=ASK, stream=True, stream_options={"include_usage": True}, **fields(way, model)
    )
    return gathered([chunk async for chunk in stream], ASK)


def at_once(way, model):
    return asyncio.run(later(way, model))


def tools(way, model):
    answer = litellm.completion(messages=WEATHER, tools=[TOOL], tool_choice="auto", **fields(way, model), **NO_MCP)
    message = answer.choices[0].message
    [call] = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": "high"}
    turns = [*WEATHER, message, result]
    after = litellm.completion(messages=turns, tools=[TOOL], **fields(way, model), **NO_MCP).choices[0].message
    called = [call.function.name, json.loads(call.function.arguments)]
    return {"call": called, "finish": answer.choices[0].finish_reason, "after": after.content}


def tools_streamed(way, model):
    return streamed(way, model, WEATHER, tools=[TOOL], tool_choice="required", **NO_MCP)


def schema(way, model):
    asked = [{"role": "user", "content": "Tide: 'Malmö', 6 o'clock"}]
    return json.loads(litellm.completion(messages=asked, response_format=FORMAT, **fields(way, model)).choices[0].message.content)


def thought(way, model):
    asked = fields(way, model) | {"max_tokens": 3000}
    # It knows by its list of models alone which of Anthropic's can think.
    thinks = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if way == "anthropic" else {"reasoning_effort": "low"}
    if way == "anthropic":
        thinks["allowed_openai_params"] = ["thinking"]
    message = litellm.completion(messages=ASK, **thinks, **asked).choices[0].message
    return {"thought": getattr(message, "reasoning_content", None), "text": message.content}


def failure(way, model, **more):
    try:
        litellm.completion(messages=ASK, **{**fields(way, model), **more})
    except Exception as error:
        return {"class": type(error).__name__, "status": getattr(error, "status_code", None), "says": str(error)[:400]}


def failures(way, _model):
    return {
        "model": failure(way, "no-such"),
        "key": failure(way, "fast", api_key="fk-wrong"),
        "field": failure(way, "fast", temperature=9),
        "limit": failure(way, f"simulated/litellm-{way}-quota-instant"),
        "context": failure(way, "simulated/m-context-length-instant"),
        "connect": failure(way, "gone/model"),
    }


def broken(way, _model):
    try:
        streamed(way, f"simulated/litellm-{way}-cut-instant")
    except Exception as error:
        return type(error).__name__


def outcome(ask, *arguments):
    try:
        return ask(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:1500]


def main():
    cases = (whole, streamed, at_once, tools, tools_streamed, schema, thought)
    ways = ("openai", "anthropic", "gemini")
    providers = os.environ["FULCRUM_PROVIDERS"].split(",")
    observed = {
        provider: {way: {case.__name__: outcome(case, way, f"{provider}/lite") for case in cases} for way in ways}
        for provider in providers
    }
    faults = {way: {"failures": outcome(failures, way, ""), "broken": outcome(broken, way, "")} for way in ways}
    print(json.dumps({"observed": observed, "faults": faults}))


main()
