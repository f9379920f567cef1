"""The SDKs' own helpers (parsed answers, stream helpers, chats, automatic functions) before a provider of each dialect."""

import anthropic
import openai
import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel

from believable import THOUGHT
from gateway import BELIEVABLE

ASK = "The tide at 'Malmö' turns at 6"
EXPECTED = {"place": "Malmö", "hour": 6}
WEATHER = [{"role": "user", "content": "How is the tide at 'Malmö'?"}]
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}

every_provider = pytest.mark.parametrize("provider", BELIEVABLE)


class Tide(BaseModel):
    place: str
    hour: int


@pytest.fixture(scope="module")
def claude(gateway, key):
    with anthropic.Anthropic(base_url=gateway.url, api_key=key["key"], timeout=60, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def gemini(gateway, key):
    return genai.Client(vertexai=False, api_key=key["key"], http_options=types.HttpOptions(base_url=gateway.url, timeout=60_000))


@every_provider
def test_chat_completions_are_parsed_whole_and_streamed(client, provider):
    fields = {"model": f"{provider}/parse", "messages": [{"role": "user", "content": ASK}], "response_format": Tide}
    assert client.chat.completions.parse(**fields).choices[0].message.parsed == Tide(**EXPECTED)
    with client.chat.completions.stream(**fields) as stream:
        kinds = {event.type for event in stream}
        assert stream.get_final_completion().choices[0].message.parsed == Tide(**EXPECTED)
    assert {"content.delta", "content.done"} <= kinds


@every_provider
def test_responses_are_parsed_whole_and_streamed(client, provider):
    fields = {"model": f"{provider}/parse", "input": ASK, "text_format": Tide}
    answer = client.responses.parse(**fields)
    assert answer.output_parsed == Tide(**EXPECTED)
    # What was asked for is repeated, as clients look for it there.
    assert answer.text.format.type == "json_schema" and answer.text.format.name == "Tide"
    with client.responses.stream(**fields) as stream:
        for event in stream:
            if hasattr(event, "response") and event.type != "response.completed":
                assert event.response.text.format.type == "json_schema"
        assert stream.get_final_response().output_parsed == Tide(**EXPECTED)


@every_provider
async def test_async_clients_parse_too(async_client, provider):
    answer = await async_client.responses.parse(model=f"{provider}/parse", input=ASK, text_format=Tide)
    assert answer.output_parsed == Tide(**EXPECTED)


@every_provider
def test_functions_of_openais_helper_are_parsed(client, provider):
    tool = openai.pydantic_function_tool(Tide)
    messages = [{"role": "user", "content": ASK}]
    answer = client.chat.completions.parse(model=f"{provider}/parse", messages=messages, tools=[tool])
    [call] = answer.choices[0].message.tool_calls
    assert call.function.parsed_arguments == Tide(**EXPECTED)


@every_provider
def test_messages_are_parsed(claude, provider):
    answer = claude.messages.parse(
        model=f"{provider}/parse", max_tokens=200, messages=[{"role": "user", "content": ASK}], output_format=Tide
    )
    assert answer.parsed_output == Tide(**EXPECTED)


@every_provider
def test_the_stream_helper_tells_thoughts_before_the_text(claude, provider):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    fields = {"model": f"{provider}/thinks", "max_tokens": 4000, "thinking": thinking}
    with claude.messages.stream(**fields, messages=[{"role": "user", "content": "When?"}]) as stream:
        events = [event.type for event in stream if event.type in ("thinking", "text")]
        final = stream.get_final_message()
    assert events == sorted(events, reverse=True) and set(events) == {"thinking", "text"}
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].thinking == THOUGHT and final.content[1].text == "I hear you say: When?"
    # A conversation goes on with the answer, its thoughts included.
    turns = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": final.content}]
    after = claude.messages.create(**fields, messages=[*turns, {"role": "user", "content": "And then?"}])
    assert after.content[-1].text == "I hear you say: And then?"


@every_provider
def test_the_stream_helper_tells_a_tools_input_as_it_grows(claude, provider):
    tool = {"name": "get_tide", "description": "The tide", "input_schema": SCHEMA}
    with claude.messages.stream(model=f"{provider}/t", max_tokens=99, messages=WEATHER, tools=[tool]) as stream:
        grown = [event.snapshot for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    [call] = final.content
    assert call.input == grown[-1] == {"place": "Malmö"} and final.stop_reason == "tool_use"
    assert final.usage.input_tokens + final.usage.cache_read_input_tokens + final.usage.cache_creation_input_tokens == 20


@every_provider
def test_a_tools_image_is_seen(claude, provider):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": pixel}}
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "Seen."}, image]}
    turns = [{"role": "user", "content": "Look"}, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    tool = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
    raw = claude.messages.with_raw_response.create(model=f"{provider}/look", max_tokens=99, messages=turns, tools=[tool])
    block = raw.parse().content[0]
    if provider == "as-chat":
        # OpenAI's tool messages hold no image, so it is shown by the user's message after them.
        assert "tool_result" in raw.headers["x-fulcrum-emulated"]
        assert block.name == "look" or "image/png of 70" in block.text
    else:
        assert "Seen." in block.text


@every_provider
def test_a_chat_remembers(gemini, provider):
    chat = gemini.chats.create(model=f"{provider}/chat")
    assert chat.send_message("One").text == "I hear you say: One"
    text = "".join(chunk.text or "" for chunk in chat.send_message_stream("Two"))
    assert text == "I hear you say: Two"
    history = chat.get_history()
    assert [content.role for content in history][:4] == ["user", "model", "user", "model"]
    assert history[1].parts[0].text == "I hear you say: One"


@every_provider
def test_functions_are_called_by_the_sdk_itself(gemini, provider):
    asked = []

    def get_tide(place: str) -> str:
        """The tide at a place."""
        asked.append(place)
        return "high"

    config = types.GenerateContentConfig(tools=[get_tide])
    answer = gemini.models.generate_content(model=f"{provider}/auto", contents="The tide at 'Malmö'?", config=config)
    assert asked == ["Malmö"] and "high" in answer.text


@every_provider
async def test_a_pydantic_schema_shapes_the_answer(gemini, provider):
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Tide)
    fields = {"model": f"{provider}/schema", "contents": ASK, "config": config}
    assert gemini.models.generate_content(**fields).parsed == Tide(**EXPECTED)
    stream = await gemini.aio.models.generate_content_stream(**fields)
    assert Tide.model_validate_json("".join([answer.text or "" async for answer in stream])) == Tide(**EXPECTED)
