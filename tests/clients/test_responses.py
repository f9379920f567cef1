"""openai-python's Responses against the simulated provider: whole, streamed, tools, prompts and errors."""

import json

import openai
import pytest
from pydantic import BaseModel

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASK = "What is the weather in Paris and London?"


def test_a_whole_answer_has_text_and_usage(client, gateway, message):
    raw = client.responses.with_raw_response.create(model="fast", input=message, instructions="Be brief.")
    answer = raw.parse()
    assert answer.object == "response" and answer.status == "completed" and answer.output_text
    assert [item.type for item in answer.output] == ["message"] and answer.output[0].content[0].type == "output_text"
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["model"] == "simulated/gpt-4o-mini-instant" and row["endpoint"] == "/v1/responses"
    assert (row["input_tokens"], row["output_tokens"]) == (answer.usage.input_tokens, answer.usage.output_tokens)


def test_a_text_is_a_users_message(client):
    text = client.responses.create(model="fast", input="Tell me of buoys.").output_text
    assert text == client.responses.create(
        model="fast", input=[{"role": "user", "content": [{"type": "input_text", "text": "Tell me of buoys."}]}]
    ).output_text


def test_a_limit_makes_an_answer_incomplete(client, message):
    answer = client.responses.create(model="fast", input=message, max_output_tokens=16)
    whole = client.responses.create(model="fast", input=message)
    assert whole.status == "completed" and whole.usage.output_tokens > 16
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage.output_tokens == 16


def test_events_come_in_order_and_numbered_without_gaps(client, message):
    events = list(client.responses.create(model="fast", input=message, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events if event.type != "response.output_text.delta"]
    assert kinds == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    final = events[-1].response
    whole = client.responses.create(model="fast", input=message)
    assert len(deltas) > 1 and "".join(deltas) == final.output_text == whole.output_text
    done = {event.type: event for event in events}
    assert done["response.output_text.done"].text == done["response.output_item.done"].item.content[0].text
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {final.output[0].id}
    assert {event.response.id for event in events if hasattr(event, "response")} == {final.id}
    assert final.status == "completed" and final.usage == whole.usage


def test_the_stream_helper_gives_the_final_response(client, message):
    with client.responses.stream(model="fast", input=message) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text != ""


def calls(answer):
    return [item for item in answer.output if item.type == "function_call"]


def cities(answer):
    return [json.loads(call.arguments)["city"] for call in calls(answer)]


def test_parallel_tools_and_the_turn_after_them(client):
    answer = client.responses.create(model="fast", input=ASK, tools=[WEATHER])
    assert answer.status == "completed" and cities(answer) == ["Paris", "London"]
    assert len({call.call_id for call in calls(answer)}) == 2
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "12"} for call in calls(answer)]
    turns = [{"role": "user", "content": ASK}, *answer.output, *results]
    after = client.responses.create(model="fast", input=turns, tools=[WEATHER])
    assert after.output_text and not calls(after)


def test_streamed_tools_have_their_own_events(client):
    events = list(client.responses.create(model="fast", input=ASK, tools=[WEATHER], stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    arguments = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            arguments[event.output_index] = arguments.get(event.output_index, "") + event.delta
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [event.arguments for event in done] == [arguments[event.output_index] for event in done]
    final = events[-1].response
    assert events[-1].type == "response.completed" and cities(final) == ["Paris", "London"]
    assert [item.id for item in calls(final)] == [event.item_id for event in done]


class Clause(BaseModel):
    kind: str
    pages: list[int]


def test_parse_reads_an_answer_into_its_pydantic_model(client, message):
    answer = client.responses.parse(model="fast", input=message, text_format=Clause)
    assert isinstance(answer.output_parsed, Clause)


def test_the_native_prompt_object_names_a_prompt(client, gateway, message):
    prompt = {"id": "product-categoriser", "variables": {"title": "Cast-iron pan"}}
    raw = client.responses.with_raw_response.create(model="fast", prompt=prompt)
    assert '"category"' in raw.parse().output_text and raw.headers["x-fulcrum-prompt"] == "product-categoriser@1"
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert (row["prompt"], row["version"]) == ("product-categoriser", 1)


def failing(client, **fields):
    with pytest.raises(openai.APIStatusError) as raised:
        client.responses.create(**{"model": "fast", "input": "Hi", **fields})
    return raised.value


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
def test_what_would_need_kept_state_is_refused_by_name(client, field):
    error = failing(client, **{field: "resp_1" if field == "previous_response_id" else "conv_1"})
    assert type(error) is openai.BadRequestError
    assert (error.param, error.code) == (field, "unsupported_feature") and field in error.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 9}, "temperature"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"extra_body": {"stream": "yes"}}, "stream"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
    ],
)
def test_a_bad_field_is_400_and_named(client, fields, param):
    error = failing(client, **fields)
    assert type(error) is openai.BadRequestError and error.param == param


def test_wrong_keys_models_and_prompts_have_their_classes(client, gateway):
    error = failing(client, model="no-such")
    assert type(error) is openai.NotFoundError and error.code == "model_not_found"
    error = failing(client, prompt={"id": "no-such"})
    assert type(error) is openai.NotFoundError and error.code == "prompt_not_found"
    with openai.OpenAI(base_url=gateway.base_url, api_key="fk-wrong") as stranger:
        error = failing(stranger)
    assert type(error) is openai.AuthenticationError and error.code == "invalid_api_key"


@pytest.mark.parametrize("fault", ["cut", "error-event"])
def test_a_stream_that_fails_is_an_error(client, message, fault):
    stream = client.responses.create(model=f"simulated/responses-{fault}-instant", input=message, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_a_provider_without_responses_is_asked_in_chat(client, dialects, message):
    from dialects import TEXT
    from recorder import Answer

    answer = client.responses.create(model="of-chat/only-chat", input=message)
    assert answer.output_text == TEXT
    assert [call.path for call in dialects.calls("only-chat")] == ["/v1/chat/completions"]
    missing = Answer(404, {"error": {"message": "no such route", "type": "x", "param": None, "code": None}})
    dialects.script("no-route", missing, dialects.speak(dialects.calls("only-chat")[0], "no-route"))
    answer = client.responses.create(model="of-unknown/no-route", input=message)
    assert answer.output_text == TEXT
    assert [call.path for call in dialects.calls("no-route")] == ["/v1/responses", "/v1/chat/completions"]
