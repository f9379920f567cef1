"""LangChain's own standard suite for chat models: its clients of Anthropic and OpenAI, before each provider.

Run by pytest in the frameworks' virtual environment; test_langchain_suite.py reads what came out. The suite fetches its
image, its document and its sound from the internet; here they are made on the spot."""

import inspect
import os
import struct
import zlib
from types import SimpleNamespace

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests, chat_models

URL = os.environ["FULCRUM_BASE_URL"]
KEY = os.environ["FULCRUM_KEY"]
PROVIDERS = os.environ["FULCRUM_PROVIDERS"].split(",")
DETAILS = ["reasoning_output", "cache_read_input", "cache_creation_input"]
# Gemini does not tell of tokens that it writes to its cache, and thinks aloud only where it is asked to.


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")


FILES = {
    "png": png(),
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n%%EOF\n",
    "wav": b"RIFF" + struct.pack("<I", 38) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8) + b"data\2\0\0\0\x80\x80",
}


@pytest.fixture(autouse=True)
def no_internet(monkeypatch):
    def get(url, **_):
        return SimpleNamespace(content=FILES[url.rpartition(".")[2]])

    monkeypatch.setattr(chat_models, "httpx", SimpleNamespace(get=get))


class Suite(ChatModelIntegrationTests):
    """What the suite may ask of all the clients."""

    provider = ""

    @property
    def model_override_value(self):
        return f"another-{self.provider}"

    @property
    def supports_image_inputs(self):
        return True

    @property
    def supports_image_urls(self):
        return True

    @property
    def supports_pdf_inputs(self):
        return True

    @property
    def supported_usage_metadata_details(self):
        details = [name for name in DETAILS if name != "cache_creation_input" or self.provider != "as-gemini"]
        return {"invoke": details, "stream": details}

    def asked(self, stream, **fields):
        model = self.chat_model_class(**{**self.chat_model_params, **fields})
        if not stream:
            return model.invoke("When does the tide turn?")
        chunks = list(model.stream("When does the tide turn?"))
        return sum(chunks[1:], chunks[0])

    def invoke_with_cache_read_input(self, *, stream=False):
        return self.asked(stream)

    def invoke_with_cache_creation_input(self, *, stream=False):
        return self.asked(stream)


class Anthropic(Suite):
    @property
    def chat_model_class(self):
        return ChatAnthropic

    @property
    def chat_model_params(self):
        return {"model": f"{self.provider}/claude", "base_url": URL.removesuffix("/v1"), "api_key": KEY, "max_retries": 0}

    @property
    def supports_anthropic_inputs(self):
        return True

    @property
    def supports_image_tool_message(self):
        return True

    @property
    def supports_pdf_tool_message(self):
        return True

    def invoke_with_reasoning_output(self, *, stream=False):
        return self.asked(stream, thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048)


class JsonAnthropic(Anthropic):
    """The same with structured output by a schema rather than by a tool."""

    @property
    def structured_output_kwargs(self):
        return {"method": "json_schema"}


class OpenAI(Suite):
    """OpenAI's Chat Completions."""

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        fields = {"model": f"{self.provider}/gpt", "base_url": URL, "api_key": KEY, "max_retries": 0}
        return {**fields, "use_responses_api": False, "stream_usage": True}

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_audio_inputs(self):
        return True

    def invoke_with_reasoning_output(self, *, stream=False):
        return self.asked(stream, reasoning_effort="medium")


class OpenAIResponses(OpenAI):
    @property
    def chat_model_params(self):
        return {**super().chat_model_params, "use_responses_api": True}

    @property
    def supports_image_tool_message(self):
        return True

    @property
    def supports_pdf_tool_message(self):
        return True


# What no client can have of a provider, since it has no such thing; every other test must pass before each of them.
XFAILS = {
    "as-responses": {
        "test_stop_sequence": "OpenAI's Responses has no stop texts",
        "test_audio_inputs": "OpenAI's Responses takes no sound",
    },
    "as-anthropic": {"test_audio_inputs": "Anthropic's models take no sound"},
    "as-gemini": {"test_image_inputs": "Gemini fetches no image from an address"},
}
OWN = {
    # langchain-anthropic itself cannot read a model of pydantic 1 in this method.
    "JsonAnthropic": {"test_structured_output_pydantic_2_v1": "the client takes no pydantic 1 here"},
}
# OpenAI's own packages speak of stop texts to their own Responses, but leave them out of the request.
NO_STOP = {"OpenAIResponses"}


def expected_to_fail(cls, client: str, provider: str) -> None:
    known = {**XFAILS.get(provider, {}), **OWN.get(client, {})}
    if client in NO_STOP:
        known.pop("test_stop_sequence", None)
    for name, reason in known.items():
        if "audio" in name and client != "OpenAI":
            continue
        test = getattr(cls, name)

        def renamed(self, *arguments, test=test, **fields):
            return test(self, *arguments, **fields)

        renamed.__name__, renamed.__signature__ = name, inspect.signature(test)
        setattr(cls, name, pytest.mark.xfail(reason=reason, strict=True)(renamed))


for client in (Anthropic, JsonAnthropic, OpenAI, OpenAIResponses):
    for name in PROVIDERS:
        title = f"Test_{client.__name__}_{name}"
        globals()[title] = type(title, (client,), {"provider": name})
        expected_to_fail(globals()[title], client.__name__, name)
