"""A client of each dialect by its own SDK, with its answers in one form."""

import json
from dataclasses import dataclass, field

import anthropic
import openai
from google import genai
from google.genai import types

from dialects import RESULT, TOOL
from gateway import Gateway

SYSTEM = "You watch the sea."
QUESTION = "How is the weather off Malmö?"
LIMIT = 64
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city"],
}
ABOUT = "The weather of a city"


@dataclass
class Heard:
    """An answer. `turn` is what the SDK sends back as the assistant's turn."""

    text: str = ""
    calls: list = field(default_factory=list)
    input: int | None = None
    cached: int | None = None
    output: int | None = None
    ended: str | None = None
    turn: object = None


class Chat:
    """OpenAI's Chat Completions by openai-python."""

    def __init__(self, gateway: Gateway, key: str):
        self.sdk = openai.OpenAI(base_url=gateway.base_url, api_key=key, max_retries=0, timeout=30)

    def ask(self, model: str, stream: bool = False, tools: bool = False, after: Heard | None = None) -> Heard:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        if after:
            call_id = after.calls[0][2]
            messages += [after.turn, {"role": "tool", "tool_call_id": call_id, "content": RESULT}]
        function = {"name": TOOL, "description": ABOUT, "parameters": SCHEMA}
        fields = {"tools": [{"type": "function", "function": function}]} if tools else {}
        fields |= {"model": model, "messages": messages, "max_tokens": LIMIT}
        if stream:
            usage = {"include_usage": True}
            with self.sdk.chat.completions.stream(**fields, stream_options=usage) as events:
                for _ in events:
                    pass
                answer = events.get_final_completion()
        else:
            answer = self.sdk.chat.completions.create(**fields)
        [choice] = answer.choices
        calls = [(c.function.name, json.loads(c.function.arguments), c.id) for c in choice.message.tool_calls or []]
        return Heard(
            text=choice.message.content or "",
            calls=calls,
            input=answer.usage.prompt_tokens,
            cached=answer.usage.prompt_tokens_details.cached_tokens,
            output=answer.usage.completion_tokens,
            ended=choice.finish_reason,
            turn=choice.message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}),
        )


class Responses:
    """OpenAI's Responses by openai-python."""

    def __init__(self, gateway: Gateway, key: str):
        self.sdk = openai.OpenAI(base_url=gateway.base_url, api_key=key, max_retries=0, timeout=30)

    def ask(self, model: str, stream: bool = False, tools: bool = False, after: Heard | None = None) -> Heard:
        turns = [{"role": "user", "content": QUESTION}]
        if after:
            turns += [*after.turn, {"type": "function_call_output", "call_id": after.calls[0][2], "output": RESULT}]
        tool = {"type": "function", "name": TOOL, "description": ABOUT, "parameters": SCHEMA, "strict": False}
        fields = {"tools": [tool]} if tools else {}
        fields |= {"model": model, "instructions": SYSTEM, "input": turns, "max_output_tokens": LIMIT}
        if stream:
            events = list(self.sdk.responses.create(**fields, stream=True))
            assert [event.sequence_number for event in events] == list(range(len(events)))
            answer = events[-1].response
            assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == answer.output_text
        else:
            answer = self.sdk.responses.create(**fields)
        calls = [item for item in answer.output if item.type == "function_call"]
        return Heard(
            text=answer.output_text,
            calls=[(call.name, json.loads(call.arguments), call.call_id) for call in calls],
            input=answer.usage.input_tokens,
            cached=answer.usage.input_tokens_details.cached_tokens,
            output=answer.usage.output_tokens,
            ended=answer.status,
            turn=[item.model_dump(exclude_none=True) for item in answer.output],
        )


class Messages:
    """Anthropic's Messages by anthropic-python."""

    def __init__(self, gateway: Gateway, key: str):
        self.sdk = anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0, timeout=30)

    def ask(self, model: str, stream: bool = False, tools: bool = False, after: Heard | None = None) -> Heard:
        turns = [{"role": "user", "content": QUESTION}]
        if after:
            result = {"type": "tool_result", "tool_use_id": after.calls[0][2], "content": RESULT}
            turns += [{"role": "assistant", "content": after.turn}, {"role": "user", "content": [result]}]
        fields = {"tools": [{"name": TOOL, "description": ABOUT, "input_schema": SCHEMA}]} if tools else {}
        fields |= {"model": model, "system": SYSTEM, "messages": turns, "max_tokens": LIMIT}
        if stream:
            with self.sdk.messages.stream(**fields) as events:
                text = "".join(event.text for event in events if event.type == "text")
                answer = events.get_final_message()
            assert text == "".join(block.text for block in answer.content if block.type == "text")
        else:
            answer = self.sdk.messages.create(**fields)
        usage = answer.usage
        return Heard(
            text="".join(block.text for block in answer.content if block.type == "text"),
            calls=[(block.name, block.input, block.id) for block in answer.content if block.type == "tool_use"],
            input=usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0),
            cached=usage.cache_read_input_tokens,
            output=usage.output_tokens,
            ended=answer.stop_reason,
            turn=[block.model_dump(exclude_none=True) for block in answer.content],
        )


class Gemini:
    """Gemini's generateContent by google-genai."""

    def __init__(self, gateway: Gateway, key: str):
        options = types.HttpOptions(base_url=gateway.url, timeout=30_000)
        self.sdk = genai.Client(vertexai=False, api_key=key, http_options=options)

    def ask(self, model: str, stream: bool = False, tools: bool = False, after: Heard | None = None) -> Heard:
        contents = [types.Content(role="user", parts=[types.Part(text=QUESTION)])]
        if after:
            name, _, call_id = after.calls[0]
            result = types.FunctionResponse(id=call_id, name=name, response={"output": RESULT})
            contents += [after.turn, types.Content(role="user", parts=[types.Part(function_response=result)])]
        function = {"name": TOOL, "description": ABOUT, "parameters_json_schema": SCHEMA}
        config = types.GenerateContentConfig(
            system_instruction=SYSTEM,
            max_output_tokens=LIMIT,
            tools=[types.Tool(function_declarations=[types.FunctionDeclaration(**function)])] if tools else None,
        )
        fields = {"model": model, "contents": contents, "config": config}
        if stream:
            answers = list(self.sdk.models.generate_content_stream(**fields))
        else:
            answers = [self.sdk.models.generate_content(**fields)]
        contents = [a.candidates[0].content for a in answers if a.candidates and a.candidates[0].content]
        parts = [part for content in contents for part in content.parts or []]
        called = [part.function_call for part in parts if part.function_call]
        usage = answers[-1].usage_metadata
        return Heard(
            text="".join(part.text or "" for part in parts),
            calls=[(call.name, call.args, call.id) for call in called],
            input=usage.prompt_token_count,
            cached=usage.cached_content_token_count,
            output=usage.candidates_token_count + (usage.thoughts_token_count or 0),
            ended=answers[-1].candidates[0].finish_reason.value,
            turn=types.Content(role="model", parts=[part for part in parts if part.function_call]),
        )


SPEAKERS = {"chat": Chat, "responses": Responses, "anthropic": Messages, "gemini": Gemini}
