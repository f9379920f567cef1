"""Every client's dialect against every provider's: what arrives there, what comes back, and what the ledger says."""

import json
import secrets

import httpx
import pytest

from dialects import ARGUMENTS, RESULT, SAID, TEXT, TOOL, chat_events, gemini_events, messages_events, responses_events, streamed
from gateway import eventually
from recorder import Answer
from speakers import LIMIT, QUESTION, SCHEMA, SPEAKERS, SYSTEM

PROVIDERS = {
    "of-chat": ("/v1/chat/completions", "authorization", chat_events),
    "of-responses": ("/v1/responses", "authorization", responses_events),
    "of-anthropic": ("/v1/messages", "x-api-key", messages_events),
    "of-gemini": ("/v1beta/models/{model}:generateContent", "x-goog-api-key", gemini_events),
}
KEY_HEADERS = {"authorization", "x-api-key", "x-goog-api-key", "api-key"}
ENDPOINTS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models",
}
ENDS = {
    "chat": ("stop", "tool_calls"),
    "responses": ("completed", "completed"),
    "anthropic": ("end_turn", "tool_use"),
    "gemini": ("STOP", "STOP"),
}
OWN = {"chat": "of-chat", "responses": "of-responses", "anthropic": "of-anthropic", "gemini": "of-gemini"}

every_client = pytest.mark.parametrize("client", SPEAKERS)
every_provider = pytest.mark.parametrize("provider", PROVIDERS)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def speakers(gateway, key):
    return {name: speaker(gateway, key["key"]) for name, speaker in SPEAKERS.items()}


@pytest.fixture
def model():
    return f"m-{secrets.token_hex(4)}"


def asked(provider: str, body: dict) -> tuple:
    """System text, question and limit of what a provider was sent."""
    if provider == "of-anthropic":
        system, turns, limit = body["system"], body["messages"], body["max_tokens"]
    elif provider == "of-gemini":
        system, turns = body["systemInstruction"]["parts"], body["contents"]
        limit = body["generationConfig"]["maxOutputTokens"]
    else:
        turns = body["messages"] if provider == "of-chat" else body["input"]
        system = body["instructions"] if body.get("instructions") else turns[0]["content"]
        limit = [body[name] for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") if name in body]
        [limit] = limit
    first = next(turn for turn in turns if turn["role"] == "user")
    return text(system), text(first.get("content", first.get("parts"))), limit


def text(content) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def tool(provider: str, body: dict) -> tuple:
    [entry] = body["tools"]
    if provider == "of-chat":
        entry = entry["function"]
    if provider == "of-gemini":
        [entry] = entry.get("functionDeclarations") or entry["function_declarations"]
    schemas = [entry[name] for name in ("parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema") if entry.get(name)]
    return entry["name"], *schemas


def row_of(gateway, provider, model):
    """The ledger's row of the one call to a model, with its attempts."""

    def look():
        page = gateway.admin.get("/requests", params={"model": f"{provider}/{model}"}).json()
        return page["rows"]

    [row] = eventually(look, f"no row of {provider}/{model}")
    return gateway.row(row["id"])


@every_client
@every_provider
@whole_and_streamed
def test_text_and_usage_arrive(speakers, dialects, gateway, key, model, client, provider, stream):
    observed = speakers[client].ask(f"{provider}/{model}", stream)
    assert observed.text == TEXT and not observed.calls and observed.ended == ENDS[client][0]
    assert (observed.input, observed.cached, observed.output) == (20, 8, 5)

    path, key_header, _ = PROVIDERS[provider]
    [call] = dialects.calls(model)
    assert asked(provider, call.body) == (SYSTEM, QUESTION, LIMIT)
    path = path.format(model=model)
    if provider == "of-gemini" and stream:
        path = path.replace(":generateContent", ":streamGenerateContent") + "?alt=sse"
    assert call.path == path and call.body.get("model", model) == model
    own = gateway.provider_key if key_header != "authorization" else f"Bearer {gateway.provider_key}"
    assert {name: call.headers[name] for name in KEY_HEADERS & set(call.headers)} == {key_header: own}
    assert key["key"] not in f"{call.headers} {call.path} {call.raw}"
    assert (provider == "of-anthropic") == ("anthropic-version" in call.headers)
    assert not [name for name in call.headers if name.startswith(("x-stainless", "x-goog-api-client"))]

    row = row_of(gateway, provider, model)
    assert row["endpoint"] == ENDPOINTS[client] and row["stream"] == stream and row["status"] == "ok"
    assert (row["model"], row["requested_model"]) == (f"{provider}/{model}", f"{provider}/{model}")
    tokens = [row[f"{name}_tokens"] for name in ("input", "cached_input", "cache_write", "output", "reasoning")]
    assert tokens == [20, 8, 0 if provider == "of-gemini" else 3, 5, 2] and not row["estimated"]
    [attempt] = row["attempts"]
    assert (attempt["provider"], attempt["model"], attempt["status"]) == (provider, model, "ok")


@every_client
@every_provider
@whole_and_streamed
def test_a_tool_is_called_and_its_result_told(speakers, dialects, model, client, provider, stream):
    speaker = speakers[client]
    observed = speaker.ask(f"{provider}/{model}", stream, tools=True)
    assert [call[:2] for call in observed.calls] == [(TOOL, ARGUMENTS)] and observed.ended == ENDS[client][1]
    assert not observed.text
    name, schema = tool(provider, dialects.calls(model)[0].body)
    assert name == TOOL and schema["required"] == ["city"] and set(schema["properties"]) == set(SCHEMA["properties"])

    after = speaker.ask(f"{provider}/{model}", stream, tools=True, after=observed)
    assert after.text == TEXT and not after.calls
    sent = dialects.calls(model)[1].body
    assert RESULT in json.dumps(tool_result(provider, sent))


def tool_result(provider: str, body: dict):
    """The result in a provider's own form, which refers to the call before it."""
    if provider == "of-chat":
        [call] = body["messages"][-2]["tool_calls"]
        result = body["messages"][-1]
        assert result["role"] == "tool" and result["tool_call_id"] == call["id"]
        assert json.loads(call["function"]["arguments"]) == ARGUMENTS
    elif provider == "of-responses":
        call, result = body["input"][-2:]
        assert (call["type"], result["type"]) == ("function_call", "function_call_output")
        assert result["call_id"] == call["call_id"] and json.loads(call["arguments"]) == ARGUMENTS
    elif provider == "of-anthropic":
        [call], [result] = body["messages"][-2]["content"], body["messages"][-1]["content"]
        assert (call["type"], result["type"]) == ("tool_use", "tool_result")
        assert result["tool_use_id"] == call["id"] and call["input"] == ARGUMENTS
    else:
        [call], [result] = body["contents"][-2]["parts"], body["contents"][-1]["parts"]
        call, result = call["functionCall"], result["functionResponse"]
        assert call["name"] == result["name"] == TOOL and call["args"] == ARGUMENTS
    return result


@every_client
@every_provider
def test_a_stream_that_breaks_is_an_error(speakers, dialects, gateway, model, client, provider):
    events = PROVIDERS[provider][2](model, SAID)
    dialects.script(model, streamed(events[: len(events) - 2], broken=True))
    with pytest.raises(Exception) as raised:  # each SDK has a class of its own
        speakers[client].ask(f"{provider}/{model}", stream=True)
    assert type(raised.value).__name__ in ("APIError", "APIStatusError", "InternalServerError", "ServerError")
    row = row_of(gateway, provider, model)
    assert row["status"] == "error" and row["error_code"] == "upstream_protocol"


REFUSED = "temperature: 7 is too hot"
REFUSALS = {
    "of-chat": {"error": {"message": REFUSED, "type": "invalid_request_error", "param": "temperature", "code": None}},
    "of-anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": REFUSED}},
    "of-gemini": {"error": {"code": 400, "message": REFUSED, "status": "INVALID_ARGUMENT"}},
}
REFUSALS["of-responses"] = REFUSALS["of-chat"]


@every_client
@every_provider
def test_a_providers_refusal_keeps_its_words(speakers, dialects, model, client, provider):
    dialects.script(model, Answer(400, REFUSALS[provider]))
    with pytest.raises(Exception) as raised:  # each SDK has a class of its own
        speakers[client].ask(f"{provider}/{model}")
    assert type(raised.value).__name__ in ("BadRequestError", "ClientError") and REFUSED in str(raised.value)
    assert len(dialects.calls(model)) == 1


@every_provider
def test_a_refused_provider_key_is_no_fault_of_the_callers(speakers, dialects, gateway, model, provider):
    dialects.script(model, Answer(401, {"error": {"message": f"bad key {gateway.provider_key}", "type": "x"}}))
    for client in SPEAKERS:
        with pytest.raises(Exception) as raised:  # each SDK has a class of its own
            speakers[client].ask(f"{provider}/{model}")
        assert type(raised.value).__name__ in ("InternalServerError", "ServerError")
        assert gateway.provider_key not in str(raised.value) and "502" in str(raised.value)


BODIES = {
    "chat": '{ "zeta" : [1.0, 1e-7],"model":"%s",\n "messages":[{"role":"user","content":"\\u00d8re \\/ 🌊"}] , "a":null}',
    "responses": '{ "zeta" : [1.0, 1e-7],"model":"%s",\n "input":"\\u00d8re \\/ 🌊" , "store":true , "a":null}',
    "anthropic": '{ "zeta" : [1.0, 1e-7],"model":"%s",\n "max_tokens" : 9, "messages":[{"role":"user","content":"\\u00d8 🌊"}]}',
    "gemini": '{ "zeta" : [1.0, 1e-7],"x":"%s",\n "contents":[{"role":"user","parts":[{"text":"\\u00d8re \\/ 🌊"}]}] }',
}


@every_client
def test_a_body_in_the_providers_own_dialect_passes_byte_for_byte(gateway, key, dialects, model, client):
    name = f"{OWN[client]}/{model}"
    path = ENDPOINTS[client] if client != "gemini" else f"/v1beta/models/{name}:generateContent"
    sent = (BODIES[client] % name).encode()
    headers = {"content-type": "application/json", "x-api-key": key["key"], "anthropic-version": "2026-10-21"}
    answer = httpx.post(gateway.url + path, headers=headers, content=sent)
    assert answer.status_code == 200, answer.text
    [call] = dialects.calls(model)
    assert call.raw == (sent if client == "gemini" else sent.replace(name.encode(), model.encode()))
    assert answer.json() == dialects_answer(dialects, call, model)


def dialects_answer(dialects, call, model):
    return dialects.speak(call, model).body


def test_anthropics_version_and_betas_go_up(speakers, dialects, model):
    sdk = speakers["anthropic"].sdk
    turns = [{"role": "user", "content": "Hi"}]
    headers = {"anthropic-beta": "a-2026-01-01,b-2026-02-02"}
    sdk.messages.create(model=f"of-anthropic/{model}", max_tokens=9, messages=turns, extra_headers=headers)
    [call] = dialects.calls(model)
    assert call.headers["anthropic-version"] == "2026-10-21" and call.headers["anthropic-beta"] == headers["anthropic-beta"]


def test_anthropic_counts_tokens_itself(speakers, dialects):
    turns = [{"role": "user", "content": "Hi"}]
    counted = speakers["anthropic"].sdk.messages.count_tokens(model="claude", messages=turns)
    assert counted.input_tokens == 42
    [call] = [call for call in dialects.calls("claude-echo-5") if call.path == "/v1/messages/count_tokens"]
    assert call.body == {"model": "claude-echo-5", "messages": turns}


def test_a_named_model_of_another_dialect_is_priced_by_its_tokens(new_client, dialects, gateway, message):
    raw = new_client().chat.completions.with_raw_response.create(model="claude", messages=message, max_tokens=LIMIT)
    assert raw.parse().choices[0].message.content == TEXT
    assert raw.headers["x-fulcrum-model"] == "of-anthropic/claude-echo-5"
    # 9 at $3, 8 at $0.30, 3 at $3.75 and 5 at $15 a million.
    assert raw.headers["x-fulcrum-cost-usd"].rstrip("0") == "0.00011565"
    assert gateway.row(raw.headers["x-fulcrum-request-id"])["cost_usd"].rstrip("0") == "0.00011565"


def test_what_a_providers_dialect_cannot_say_is_refused_by_name(speakers, dialects, model):
    import openai

    sdk = speakers["chat"].sdk
    messages = [{"role": "user", "content": "Hi"}]
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.chat.completions.create(model=f"of-anthropic/{model}", messages=messages, logprobs=True)
    assert raised.value.code == "unsupported_feature" and raised.value.param == "logprobs"
    assert not dialects.calls(model)
