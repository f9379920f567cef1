"""Anthropic's Node SDK, on node 22."""

import pytest

from gateway import REPOSITORY
from test_node import MODULES, NODE_22

CLIENT = REPOSITORY / "tests/clients/programs/anthropic.mjs"


@pytest.fixture(scope="module")
def observed(run):
    return run(NODE_22, CLIENT, MODULES / "@anthropic-ai/sdk")


def test_a_whole_answer_and_its_row(observed, gateway):
    whole = observed["whole"]
    assert whole["text"] and whole["stop"] == "end_turn"
    row = gateway.row(whole["request"])
    assert row["output_tokens"] == whole["usage"]["output_tokens"] and row["endpoint"] == "/v1/messages"


def test_a_stream_says_the_same(observed):
    whole, stream, events = observed["whole"], observed["stream"], observed["events"]
    assert stream["text"] == events["text"] == whole["text"] and stream["stop"] == "end_turn"
    assert [stream["usage"][name] for name in ("input_tokens", "output_tokens")] == [
        whole["usage"][name] for name in ("input_tokens", "output_tokens")
    ]
    kinds = ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    assert [kind for kind in events["kinds"] if kind != "ping"] == kinds


def test_tools_and_counts(observed):
    assert observed["tools"] == {"whole": ["Paris", "London"], "streamed": ["Paris", "London"], "stop": "tool_use"}
    assert observed["count"] > 0


def test_each_failure_has_its_class(observed):
    def seen(name):
        refused = observed["errors"][name]
        return refused["class"], refused["status"], refused["type"]

    assert seen("key") == ("AuthenticationError", 401, "authentication_error")
    assert seen("model") == ("NotFoundError", 404, "not_found_error")
    assert seen("field") == ("BadRequestError", 400, "invalid_request_error")
    assert "max_tokens" in observed["errors"]["field"]["message"]
    assert seen("limited") == ("RateLimitError", 429, "rate_limit_error")
    assert seen("cut")[0] == seen("event")[0] == "APIError"
