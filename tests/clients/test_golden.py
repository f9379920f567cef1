"""The golden table's translations, parsed with the types of the providers' own SDKs: what callers read, and what providers get.

`cargo test --test golden` writes them to the folder that GOLDEN_DUMP names, as scripts/test does.
"""

import json
import os
import pathlib

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParams
from google.genai import types as gemini
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import TypeAdapter

FOLDER = os.environ.get("GOLDEN_DUMP")
pytestmark = pytest.mark.skipif(not FOLDER, reason="GOLDEN_DUMP names no folder: run `cargo test --test golden` with it")

WHOLE = {
    "chat": TypeAdapter(ChatCompletion),
    "responses": TypeAdapter(Response),
    "messages": TypeAdapter(Message),
    "gemini": TypeAdapter(gemini.GenerateContentResponse),
}
EVENT = {
    "chat": TypeAdapter(ChatCompletionChunk),
    "responses": TypeAdapter(ResponseStreamEvent),
    "messages": TypeAdapter(RawMessageStreamEvent),
    "gemini": TypeAdapter(gemini.GenerateContentResponse),
}
ASKED = {
    "chat": TypeAdapter(CompletionCreateParams),
    "responses": TypeAdapter(ResponseCreateParams),
    "messages": TypeAdapter(MessageCreateParams),
}
GEMINI_ASKED = {
    "systemInstruction": TypeAdapter(gemini.Content),
    "contents": TypeAdapter(list[gemini.Content]),
    "tools": TypeAdapter(list[gemini.Tool]),
    "toolConfig": TypeAdapter(gemini.ToolConfig),
    "generationConfig": TypeAdapter(gemini.GenerationConfig),
}


def files(kind, dialect, ending):
    found = sorted(pathlib.Path(FOLDER).glob(f"{kind}.{dialect}.*.{ending}"))
    assert found, f"{FOLDER} holds nothing of {kind}.{dialect}"
    return found


def events(path):
    """The data of a stream's events, errors apart: no SDK has a type for those."""
    for event in path.read_bytes().decode().replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[6:] for line in event.split("\n") if line.startswith("data: "))
        if data and data != "[DONE]":
            fields = json.loads(data)
            if "error" not in fields:
                yield fields


def complete(item):
    """OpenAI's types ask for more than its API does: ids of repeated items, and an image's detail."""
    if item.get("role") == "assistant" or item.get("type") == "reasoning":
        item["id"] = "x"
    lists = [value for value in (item.get("content"), item.get("output")) if isinstance(value, list)]
    for part in sum(lists, []):
        if part.get("type") == "input_image":
            part.setdefault("detail", "auto")


@pytest.mark.parametrize("dialect", WHOLE)
def test_a_whole_answer_is_of_the_sdks_type(dialect):
    for path in files("answer", dialect, "json"):
        try:
            WHOLE[dialect].validate_json(path.read_bytes())
        except ValueError as wrong:
            pytest.fail(f"{path.name}: {wrong}")


@pytest.mark.parametrize("dialect", EVENT)
def test_every_event_of_a_stream_is_of_the_sdks_type(dialect):
    for path in files("answer", dialect, "sse"):
        for event in events(path):
            try:
                EVENT[dialect].validate_python(event)
            except ValueError as wrong:
                pytest.fail(f"{path.name}: {event}: {wrong}")


@pytest.mark.parametrize("dialect", [*ASKED, "gemini"])
def test_a_request_is_of_the_sdks_type(dialect):
    for path in files("request", dialect, "json"):
        asked = json.loads(path.read_bytes())
        try:
            if dialect == "gemini":
                for name, value in asked.items():
                    GEMINI_ASKED[name].validate_python(value)
                continue
            if dialect == "responses":
                [complete(item) for item in asked["input"]]
            ASKED[dialect].validate_python(asked)
        except (KeyError, ValueError) as wrong:
            pytest.fail(f"{path.name}: {wrong}")
