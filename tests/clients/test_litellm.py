"""litellm as a client, by its ways of speaking to OpenAI, Anthropic and Gemini, before a provider of each dialect."""

import pytest

from conftest import SERVICES
from gateway import BELIEVABLE, REPOSITORY

PYTHON = SERVICES / "frameworks/bin/python"
PROGRAM = REPOSITORY / "tests/clients/programs/litellm_client.py"
WAYS = ["openai", "anthropic", "gemini"]
USAGE = [20, 8, 5, 25]


@pytest.fixture(scope="module")
def reported(run):
    return run(PYTHON, PROGRAM, seconds=400)


@pytest.fixture(params=[(provider, way) for provider in BELIEVABLE for way in WAYS], ids="-".join)
def observed(request, reported):
    provider, way = request.param
    return reported["observed"][provider][way]


def test_text_comes_whole_and_streamed_with_its_usage(observed):
    whole, streamed = observed["whole"], observed["streamed"]
    assert whole["text"].endswith("When does the tide turn?") and whole["finish"] == "stop" and whole["usage"] == USAGE
    for name in ("text", "finish", "usage"):
        assert streamed[name] == observed["at_once"][name] == whole[name]
    assert streamed["chunks"] > 3


def test_tools_are_called_and_their_results_sent(observed):
    tools, streamed = observed["tools"], observed["tools_streamed"]
    assert tools["call"] == ["get_tide", {"place": "Malmö"}] and tools["finish"] == "tool_calls"
    assert "high" in tools["after"]
    assert streamed["calls"] == [tools["call"]] and streamed["finish"] == "tool_calls"


def test_an_answer_fits_its_schema(observed):
    assert observed["schema"] == {"place": "Malmö", "hour": 6}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("provider", BELIEVABLE)
def test_thoughts_come_beside_the_answer(reported, provider, way):
    if (provider, way) == ("as-gemini", "openai"):
        pytest.skip("Gemini sends its thoughts only where they are asked for, and OpenAI's Chat Completions have no field for that")
    observed = reported["observed"][provider][way]["thought"]
    assert observed["thought"] == "Let me look at the tide table first." and observed["text"]


CLASSES = {
    "model": ("NotFoundError", 404),
    "key": ("AuthenticationError", 401),
    "field": ("BadRequestError", 400),
    "limit": ("RateLimitError", 429),
    "context": ("ContextWindowExceededError", 400),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_failure_has_its_class(reported, way):
    failures = reported["faults"][way]["failures"]
    assert {name: (failure["class"], failure["status"]) for name, failure in failures.items() if name in CLASSES} == CLASSES
    assert failures["connect"]["class"] in ("BadGatewayError", "ServiceUnavailableError", "InternalServerError", "APIConnectionError")
    assert "no-such" in failures["model"]["says"] and "temperature" in failures["field"]["says"]


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_is_cut_is_an_error(reported, way):
    assert reported["faults"][way]["broken"] == "MidStreamFallbackError"
