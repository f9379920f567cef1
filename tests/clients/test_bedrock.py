"""Every client's dialect against Bedrock: signed as Amazon's own client signs, and of its own shape."""

import secrets

import pytest

import bedrock
from dialects import ARGUMENTS, PARTS, RESULT, TEXT, TOOL, streamed
from gateway import eventually
from recorder import Answer
from speakers import LIMIT, QUESTION, SCHEMA, SPEAKERS, SYSTEM

every_client = pytest.mark.parametrize("client", SPEAKERS)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def speakers(gateway, key):
    return {name: speaker(gateway, key["key"]) for name, speaker in SPEAKERS.items()}


@pytest.fixture
def model():
    return f"eu.anthropic.claude-sonnet-5-{secrets.token_hex(4)}-v1"


def checked(gateway, call):
    assert bedrock.is_signed(call, gateway.provider_key_id, gateway.provider_key), call.headers
    assert not bedrock.flaws(call)
    return call.body


def row_of(gateway, model):
    [row] = eventually(
        lambda: gateway.admin.get("/requests", params={"model": f"of-bedrock/{model}"}).json()["rows"],
        f"no row of {model}",
    )
    return gateway.row(row["id"])


@every_client
@whole_and_streamed
def test_text_and_usage_arrive(speakers, dialects, gateway, model, client, stream):
    observed = speakers[client].ask(f"of-bedrock/{model}", stream)
    assert observed.text == TEXT and not observed.calls
    assert (observed.input, observed.cached, observed.output) == (20, 8, 5)
    [call] = dialects.calls(model)
    assert call.path == f"/model/{model}/{'converse-stream' if stream else 'converse'}"
    body = checked(gateway, call)
    assert body["system"] == [{"text": SYSTEM}]
    assert body["messages"] == [{"role": "user", "content": [{"text": QUESTION}]}]
    assert body["inferenceConfig"] == {"maxTokens": LIMIT}
    row = row_of(gateway, model)
    tokens = [row[f"{name}_tokens"] for name in ("input", "cached_input", "cache_write", "output")]
    assert tokens == [20, 8, 3, 5] and not row["estimated"]


@every_client
@whole_and_streamed
def test_a_tool_is_called_and_its_result_told(speakers, dialects, gateway, model, client, stream):
    speaker = speakers[client]
    observed = speaker.ask(f"of-bedrock/{model}", stream, tools=True)
    assert [call[:2] for call in observed.calls] == [(TOOL, ARGUMENTS)] and not observed.text
    after = speaker.ask(f"of-bedrock/{model}", stream, tools=True, after=observed)
    assert after.text == TEXT
    first, second = (checked(gateway, call) for call in dialects.calls(model))
    [tool] = first["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == TOOL and tool["toolSpec"]["inputSchema"]["json"]["required"] == SCHEMA["required"]
    [call], [result] = second["messages"][-2]["content"], second["messages"][-1]["content"]
    assert call["toolUse"]["toolUseId"] == result["toolResult"]["toolUseId"] == "tooluse_1"
    assert call["toolUse"]["input"] == ARGUMENTS and RESULT in str(result["toolResult"]["content"])


@every_client
def test_an_exception_in_the_stream_is_an_error_of_the_clients(speakers, dialects, gateway, model, client):
    broken = [*bedrock.events(None, [], PARTS)[:3], bedrock.exception("internalServerException", "The sea is rough")]
    dialects.script(model, streamed(broken, headers=bedrock.STREAM))
    with pytest.raises(Exception) as raised:  # each SDK has a class of its own
        speakers[client].ask(f"of-bedrock/{model}", stream=True)
    assert type(raised.value).__name__ in ("APIError", "APIStatusError", "InternalServerError", "ServerError")
    assert "The sea is rough" in str(raised.value)
    assert row_of(gateway, model)["status"] == "error"


@every_client
def test_a_throttled_call_is_the_clients_rate_limit(speakers, dialects, model, client):
    dialects.script(model, Answer(429, {"message": "Too many tokens"}, {"x-amzn-errortype": "ThrottlingException"}))
    with pytest.raises(Exception) as raised:  # each SDK has a class of its own
        speakers[client].ask(f"of-bedrock/{model}")
    assert type(raised.value).__name__ in ("RateLimitError", "ClientError") and "Too many tokens" in str(raised.value)
