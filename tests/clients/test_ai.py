"""The AI SDK by four of its providers, on node 22, before a provider of each dialect."""

import pytest

from gateway import BELIEVABLE, REPOSITORY
from test_node import MODULES, NODE_22

PROGRAM = REPOSITORY / "tests/clients/programs/ai.mjs"
WAYS = ["compatible", "openai", "anthropic", "google"]
USAGE = {"input": 20, "cached": 8, "output": 5, "reasoning": 2}
TIDE = {"place": "Malmö", "hours": [6], "note": "Malmö"}


@pytest.fixture(scope="module")
def reported(run):
    return run(NODE_22, PROGRAM, MODULES.parent)


@pytest.fixture(params=[(provider, way) for provider in BELIEVABLE for way in WAYS], ids="-".join)
def observed(request, reported):
    provider, way = request.param
    return reported["observed"][provider][way]


def test_text_comes_whole_and_streamed_with_its_usage(observed):
    text = "I hear you say: When does the tide turn?"
    assert observed["whole"] == {"text": text, "finishReason": "stop", "usage": USAGE}
    stream = observed["stream"]
    assert stream.pop("pieces") > 3 and stream == observed["whole"]


def test_a_loop_of_tools_runs_to_its_end(observed):
    calls = [["get_tide", {"place": "Malmö"}]]
    for case in ("tools", "toolsStreamed"):
        assert observed[case]["calls"] == calls and observed[case]["steps"] == 2
        assert "high at Malmö" in observed[case]["text"]
    assert observed["forced"] == {"calls": [{"place": "Malmö"}], "finishReason": "tool-calls"}


def test_objects_fit_their_schema_whole_and_streamed(observed):
    assert observed["object"] == observed["objectStreamed"]["last"] == TIDE
    assert observed["objectStreamed"]["partials"] > 0


def test_an_image_arrives(observed):
    assert observed["image"] == "I see image/png of 70."


@pytest.mark.parametrize("way", WAYS)
def test_each_failure_is_the_sdks_own_error(reported, way):
    refused = reported["refused"][way]
    expected = {"key": (401, False), "model": (404, False), "field": (400, False), "limited": (429, True), "streamed": (404, False)}
    assert {name: (refused[name]["status"], refused[name]["retryable"]) for name in expected} == expected
    assert all(refused[name]["isCall"] for name in expected)
    assert refused["connect"]["status"] in (502, 503) and refused["connect"]["isCall"]
    assert "no-such" in refused["model"]["says"]
    assert "cut" in refused["cut"]["says"] and "500" in refused["event"]["says"]
