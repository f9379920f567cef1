"""openai-python: tools, whole and streamed."""

import json

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
ASK = [{"role": "user", "content": "What is the weather in Paris and London?"}]


def cities(calls):
    return [json.loads(call.function.arguments)["city"] for call in calls]


def test_parallel_tools_and_the_turn_after_them(client):
    answer = client.chat.completions.create(model="fast", messages=ASK, tools=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    assert cities(choice.message.tool_calls) == ["Paris", "London"]
    assert len({call.id for call in choice.message.tool_calls}) == 2
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 12}'} for call in choice.message.tool_calls
    ]
    turn = [*ASK, choice.message.model_dump(exclude_none=True), *results]
    answer = client.chat.completions.create(model="fast", messages=turn, tools=[WEATHER])
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.content


def test_one_tool_at_a_time_where_asked(client):
    answer = client.chat.completions.create(model="fast", messages=ASK, tools=[WEATHER], parallel_tool_calls=False)
    assert len(answer.choices[0].message.tool_calls) == 1


def test_tool_choice_is_obeyed(client, message):
    def calls(choice):
        answer = client.chat.completions.create(model="fast", messages=message, tools=[WEATHER], tool_choice=choice)
        return answer.choices[0].message.tool_calls

    assert calls("none") is None and calls("auto") is None
    named = {"type": "function", "function": {"name": "get_weather"}}
    assert [call.function.name for call in calls(named)] == ["get_weather"] and calls("required")


def test_streamed_tools_are_put_together_by_the_helper(client):
    with client.chat.completions.stream(model="fast", messages=ASK, tools=[WEATHER]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [event.parsed_arguments["city"] for event in done] == ["Paris", "London"]
    assert cities(final.choices[0].message.tool_calls) == ["Paris", "London"]
    assert final.choices[0].finish_reason == "tool_calls"


def test_streamed_fragments_name_each_call_once(client):
    fragments = {}
    for chunk in client.chat.completions.create(model="fast", messages=ASK, tools=[WEATHER], stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            known = fragments.setdefault(call.index, {"ids": [], "names": [], "arguments": ""})
            known["ids"] += [call.id] if call.id else []
            known["names"] += [call.function.name] if call.function.name else []
            known["arguments"] += call.function.arguments or ""
    assert [len(call["ids"]) for call in fragments.values()] == [1, 1]
    assert [call["names"] for call in fragments.values()] == [["get_weather"]] * 2
    assert [json.loads(call["arguments"])["city"] for call in fragments.values()] == ["Paris", "London"]
