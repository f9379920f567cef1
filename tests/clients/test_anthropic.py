"""anthropic-python against the simulated provider: whole, streamed, tools, counts and errors."""

import anthropic
import pytest

WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASK = [{"role": "user", "content": "What is the weather in Paris and London?"}]


@pytest.fixture(scope="module")
def claude(gateway, key):
    with anthropic.Anthropic(base_url=gateway.url, api_key=key["key"], timeout=60) as client:
        yield client


def test_a_whole_answer_has_text_and_usage(claude, gateway, message):
    raw = claude.messages.with_raw_response.create(model="fast", max_tokens=200, messages=message)
    answer = raw.parse()
    [block] = answer.content
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert block.type == "text" and block.text
    assert raw.headers["request-id"] == raw.headers["x-fulcrum-request-id"] == answer._request_id
    row = gateway.row(answer._request_id)
    assert row["model"] == "simulated/gpt-4o-mini-instant" and row["endpoint"] == "/v1/messages"
    assert row["output_tokens"] == answer.usage.output_tokens > 0
    usage = answer.usage
    assert row["input_tokens"] == usage.input_tokens + (usage.cache_read_input_tokens or 0) > 0


def test_the_key_may_also_come_as_x_api_key(gateway, key, message):
    headers = {"authorization": anthropic.omit, "x-api-key": key["key"]}
    with anthropic.Anthropic(base_url=gateway.url, api_key="fk-none", default_headers=headers) as client:
        assert client.messages.create(model="fast", max_tokens=9, messages=message).content


def test_a_limit_ends_an_answer(claude, message):
    answer = claude.messages.create(model="fast", max_tokens=3, messages=message)
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens == 3


def test_raw_events_come_in_their_order(claude, message):
    events = list(claude.messages.create(model="fast", max_tokens=200, messages=message, stream=True))
    kinds = [event.type for event in events if event.type != "content_block_delta"]
    assert kinds == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    assert len(deltas) > 1 and {delta.type for delta in deltas} == {"text_delta"}
    whole = claude.messages.create(model="fast", max_tokens=200, messages=message)
    assert "".join(delta.text for delta in deltas) == whole.content[0].text
    assert events[-2].delta.stop_reason == "end_turn" and events[-2].usage.output_tokens == whole.usage.output_tokens


def test_the_stream_helper_gives_the_same_message(claude, message):
    whole = claude.messages.create(model="fast", max_tokens=200, system="Be brief.", messages=message)
    with claude.messages.stream(model="fast", max_tokens=200, system="Be brief.", messages=message) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert (final.usage.input_tokens, final.usage.output_tokens) == (whole.usage.input_tokens, whole.usage.output_tokens)


async def test_the_async_client_streams_too(gateway, key, message):
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=key["key"]) as client:
        async with client.messages.stream(model="fast", max_tokens=200, messages=message) as stream:
            text = "".join([text async for text in stream.text_stream])
            assert text == (await stream.get_final_message()).content[0].text != ""


def test_parallel_tools_and_the_turn_after_them(claude):
    answer = claude.messages.create(model="fast", max_tokens=200, messages=ASK, tools=[WEATHER])
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use" and [call.input["city"] for call in calls] == ["Paris", "London"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees"} for call in calls]
    turns = [*ASK, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    after = claude.messages.create(model="fast", max_tokens=200, messages=turns, tools=[WEATHER])
    assert after.stop_reason == "end_turn" and after.content[0].text


def test_streamed_tools_are_put_together(claude):
    with claude.messages.stream(model="fast", max_tokens=200, messages=ASK, tools=[WEATHER]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert [block.input["city"] for block in final.content] == ["Paris", "London"] and "input_json" in kinds
    assert len({block.id for block in final.content}) == 2 and final.stop_reason == "tool_use"


def test_tool_choice_is_obeyed(claude, message):
    def ask(**choice):
        return claude.messages.create(
            model="fast", max_tokens=200, messages=message, tools=[WEATHER], tool_choice=choice
        )

    assert [block.type for block in ask(type="none").content] == ["text"]
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
        assert [block.name for block in ask(**choice).content] == ["get_weather"]


def test_tokens_are_counted_before_the_call(claude):
    short = claude.messages.count_tokens(model="fast", messages=ASK)
    long = claude.messages.count_tokens(model="fast", messages=ASK, system="Be brief. " * 100, tools=[WEATHER])
    assert 0 < short.input_tokens < long.input_tokens


def refused(client, model="fast", messages=ASK, **fields):
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**{"model": model, "messages": messages, "max_tokens": 9, **fields})
    error = raised.value
    assert error.body["type"] == "error" and set(error.body["error"]) >= {"type", "message"}
    assert error.body["request_id"] == error.response.headers["x-fulcrum-request-id"]
    return error


def test_a_wrong_key_is_401(gateway):
    with anthropic.Anthropic(base_url=gateway.url, api_key="fk-wrong", max_retries=0) as client:
        error = refused(client)
    assert type(error) is anthropic.AuthenticationError and error.body["error"]["type"] == "authentication_error"


def test_an_unknown_model_is_404(claude):
    error = refused(claude, model="no-such")
    assert type(error) is anthropic.NotFoundError and error.body["error"]["type"] == "not_found_error"
    assert "no-such" in error.body["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"extra_body": {"temperature": 9}}, "temperature"),
        ({"extra_body": {"stream": "yes"}}, "stream"),
    ],
)
def test_a_bad_field_is_400_and_named(claude, fields, named):
    error = refused(claude, **fields)
    assert type(error) is anthropic.BadRequestError and error.body["error"]["type"] == "invalid_request_error"
    assert named in error.body["error"]["message"]


def test_a_missing_limit_is_named(gateway, key):
    import httpx

    headers = {"x-api-key": key["key"], "anthropic-version": "2026-10-21"}
    answer = httpx.post(f"{gateway.url}/v1/messages", headers=headers, json={"model": "fast", "messages": ASK})
    assert answer.status_code == 400 and "max_tokens" in answer.json()["error"]["message"]


def test_a_providers_limit_is_429(claude):
    error = refused(claude.with_options(max_retries=0), model="simulated/quota-instant")
    assert type(error) is anthropic.RateLimitError and error.body["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("fault", ["cut", "error-event"])
def test_a_stream_that_fails_is_an_error(claude, message, fault):
    model = f"simulated/claude-{fault}-instant"
    with pytest.raises(anthropic.APIStatusError):
        list(claude.messages.create(model=model, max_tokens=200, messages=message, stream=True))
