"""openai-python: streams, and what a hang-up or a cut does to them."""

import asyncio
import json

import httpx
import openai
import pytest

from gateway import eventually
from recorder import Answer, chunk


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_stream_says_what_the_whole_answer_says(client, message):
    whole = client.chat.completions.create(model="fast", messages=message)
    chunks = list(client.chat.completions.create(model="fast", messages=message, stream=True))
    assert text_of(chunks) == whole.choices[0].message.content
    assert len({chunk.id for chunk in chunks}) == 1 and len(chunks) > 5
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].choices[0].finish_reason == "stop"


def test_usage_comes_only_to_those_who_asked(client, gateway, message):
    raw = client.chat.completions.with_raw_response.create(model="fast", messages=message, stream=True)
    request_id = raw.headers["x-fulcrum-request-id"]
    events = [line for line in raw.http_response.iter_lines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert not [event for event in events if "usage" in event]
    asked = list(
        client.chat.completions.create(
            model="fast", messages=message, stream=True, stream_options={"include_usage": True}
        )
    )
    assert asked[-1].choices == [] and all(chunk.usage is None for chunk in asked[:-1])
    row = gateway.row(request_id)
    assert row["output_tokens"] == asked[-1].usage.completion_tokens and not row["estimated"]


def test_usage_is_asked_of_the_provider_and_taken_out(client, recorder, message):
    usage = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
    pieces = [
        chunk({"role": "assistant", "content": ""}, usage=None),
        chunk({"content": "Hi"}, usage=None),
        chunk({}, "stop", usage=None),
        b'data: {"id":"chatcmpl-echo","object":"chat.completion.chunk","created":1,"model":"echo","choices":[],"usage":'
        + json.dumps(usage).encode()
        + b"}\n\n",
        b"data: [DONE]\n\n",
    ]
    recorder.script("stream-usage", Answer(pieces=pieces))
    chunks = list(client.chat.completions.create(model="echo/stream-usage", messages=message, stream=True))
    assert recorder.calls("stream-usage")[0].body["stream_options"] == {"include_usage": True}
    assert text_of(chunks) == "Hi"
    assert all(chunk.choices and "usage" not in chunk.model_fields_set for chunk in chunks)


async def test_async_streams_run_side_by_side(async_client):
    async def ask(n):
        messages = [{"role": "user", "content": f"Describe street {n}"}]
        stream = await async_client.chat.completions.create(model="fast", messages=messages, stream=True)
        return [chunk async for chunk in stream]

    for chunks in await asyncio.gather(*(ask(n) for n in range(20))):
        assert text_of(chunks) and chunks[-1].choices[0].finish_reason == "stop"


def test_the_streams_of_n_choices_interleave(client, message):
    chunks = list(client.chat.completions.create(model="fast", messages=message, stream=True, n=2))
    texts = {index: "" for index in (0, 1)}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.delta.content or ""
    assert texts[0] and texts[1]


def test_the_helper_puts_a_stream_together(client, message):
    with client.chat.completions.stream(
        model="fast", messages=message, stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type for event in stream}
        whole = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert whole.choices[0].message.content and whole.usage.total_tokens > 0


def test_logprobs_come_in_a_stream(client, message):
    chunks = list(client.chat.completions.create(model="fast", messages=message, stream=True, logprobs=True))
    tokens = [token for chunk in chunks for choice in chunk.choices if choice.logprobs for token in choice.logprobs.content]
    assert "".join(token.token for token in tokens) == text_of(chunks)


@pytest.mark.parametrize("model", ["m-cut-instant", "m-error-event-instant", "m-bad-json-instant"])
def test_a_stream_that_breaks_off_is_an_error_and_no_short_answer(client, gateway, message, model):
    raw = client.chat.completions.with_raw_response.create(
        model=f"simulated/{model}", messages=message, stream=True
    )
    seen = []
    with pytest.raises(openai.APIError) as raised:
        seen.extend(raw.parse())
    assert raised.value.message and type(raised.value) is openai.APIError
    assert text_of(seen)
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["status"] == "error" and row["output_tokens"] > 0


@pytest.mark.parametrize("data", [b"<html>busy</html>", b'{"choices": [', b"[1, 2]"])
def test_a_chunk_that_is_none_ends_the_stream_as_an_error(client, gateway, recorder, message, data):
    pieces = [chunk({"content": "Hi"}), b"data: " + data + b"\n\n", chunk({}, "stop"), b"data: [DONE]\n\n"]
    recorder.script("no-chunk", Answer(pieces=pieces))
    raw = client.chat.completions.with_raw_response.create(model="echo/no-chunk", messages=message, stream=True)
    with pytest.raises(openai.APIError) as raised:
        list(raw.parse())
    assert raised.value.code == "upstream_protocol"
    assert gateway.row(raw.headers["x-fulcrum-request-id"])["status"] == "error"


def test_an_error_before_the_first_chunk_is_an_ordinary_error(client, recorder, flaky, message):
    event = b'data: {"error":{"message":"no room","type":"server_error","code":null}}\n\n'
    recorder.script("early-error", Answer(pieces=[event]))
    with pytest.raises(openai.InternalServerError) as raised:
        client.with_options(max_retries=0).chat.completions.create(
            model=f"{flaky}/early-error", messages=message, stream=True
        )
    assert raised.value.status_code == 502 and len(recorder.calls("early-error")) == 3


def test_a_client_that_hangs_up_ends_the_providers_work_and_is_told_in_its_row(client, gateway, recorder, message):
    pieces = [chunk({"content": f"word {n} "}) for n in range(400)]
    recorder.script("hang-up", Answer(pieces=pieces, gap=0.02))
    raw = client.chat.completions.with_raw_response.create(model="echo/hang-up", messages=message, stream=True)
    stream = raw.parse()
    assert next(stream).choices[0].delta.content == "word 0 "
    stream.close()
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["status"] == "client_closed" and row["estimated"] and 0 < row["output_tokens"] < 200
    assert [attempt["status"] for attempt in row["attempts"]] == ["client_closed"]
    assert recorder.calls("hang-up")[0].cut.wait(5)


def test_a_client_that_times_out_before_an_answer_has_its_row(new_client, gateway, recorder, message):
    recorder.script("too-late", Answer(body={}, delay=4))
    client = new_client(timeout=httpx.Timeout(1), max_retries=0)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="echo/too-late", messages=message)
    rows = eventually(lambda: gateway.admin.get("/requests", params={"key": client.row["id"]}).json()["rows"], "no row")
    assert [row["status"] for row in rows] == ["client_closed"]


def test_a_crlf_stream_with_comments_is_read(client, recorder, message):
    pieces = [b": ping\r\n\r\n", chunk({"content": "Grüße, "}).replace(b"\n", b"\r\n")]
    accented = chunk({"content": "Ärger"}).replace(b"\\u00c4", "Ä".encode())
    cut = accented.index("Ä".encode()) + 1
    pieces += [accented[:cut], accented[cut:], chunk({}, "stop"), b"data: [DONE]\r\n\r\n"]
    recorder.script("crlf", Answer(pieces=pieces, gap=0.02))
    chunks = list(client.chat.completions.create(model="echo/crlf", messages=message, stream=True))
    assert text_of(chunks) == "Grüße, Ärger"


def test_a_kept_answer_is_replayed_as_a_stream_and_whole(client, message):
    def ask(**fields):
        return client.chat.completions.with_raw_response.create(model="cached", messages=message, **fields)

    first, second, third = ask(), ask(), ask(stream=True)
    assert [answer.headers["x-fulcrum-cache"] for answer in (first, second, third)] == ["miss", "hit", "hit"]
    text = first.parse().choices[0].message.content
    assert second.parse().choices[0].message.content == text == text_of(third.parse())
    assert int(second.headers["age"]) >= 0 and second.headers["x-fulcrum-cost-usd"] == "0"
