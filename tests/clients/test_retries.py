"""openai-python: who retries, and how often the provider is really asked."""

import openai
import pytest

from recorder import Answer, completion, error


def test_fulcrum_retries_and_the_sdk_then_does_not(client, recorder, flaky, message):
    recorder.script("down", error(503, "out of order"))
    with pytest.raises(openai.InternalServerError) as raised:
        client.with_options(max_retries=5).chat.completions.create(model=f"{flaky}/down", messages=message)
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.response.headers["x-fulcrum-attempts"] == "3"
    assert (raised.value.status_code, raised.value.code) == (503, "upstream_error")
    assert len(recorder.calls("down")) == 3


def test_a_fault_that_passes_is_not_seen_by_the_client(client, gateway, recorder, flaky, message):
    recorder.script("passes", error(500, "oops"), Answer(body=completion("Well again.")))
    raw = client.with_options(max_retries=0).chat.completions.with_raw_response.create(
        model=f"{flaky}/passes", messages=message
    )
    assert raw.parse().choices[0].message.content == "Well again." and raw.headers["x-fulcrum-attempts"] == "2"
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert [(a["n"], a["status"], a["http_status"]) for a in row["attempts"]] == [(1, "error", 500), (2, "ok", 200)]


def test_where_fulcrum_does_not_retry_the_sdk_may(client, recorder):
    recorder.script("once", error(500, "oops"), error(500, "oops"), Answer(body=completion("Third time.")))
    answer = client.with_options(max_retries=2).chat.completions.create(
        model="once", messages=[{"role": "user", "content": "Hello"}]
    )
    assert answer.choices[0].message.content == "Third time." and len(recorder.calls("once")) == 3


def test_a_short_retry_after_is_waited_for(client, recorder, flaky, message):
    recorder.script("busy", error(429, "busy", {"retry-after-ms": "50"}), Answer(body=completion("Now.")))
    answer = client.with_options(max_retries=0).chat.completions.create(model=f"{flaky}/busy", messages=message)
    assert answer.choices[0].message.content == "Now."


def test_a_fallback_answers_for_a_target_that_fails(client, gateway, recorder, message):
    recorder.script("fallible", error(500, "oops"))
    raw = client.chat.completions.with_raw_response.create(model="steady", messages=message)
    assert raw.headers["x-fulcrum-model"] == "simulated/gpt-4o-mini-instant"
    assert raw.headers["x-fulcrum-route"] == "falls-back" and raw.headers["x-fulcrum-attempts"] == "2"
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert [attempt["model"] for attempt in row["attempts"]] == ["fallible", "gpt-4o-mini-instant"]
    assert row["status"] == "ok" and row["model"] == "simulated/gpt-4o-mini-instant"


async def test_the_async_client_honours_it_too(async_client, recorder, flaky, message):
    recorder.script("down-async", error(500, "out of order"))
    with pytest.raises(openai.InternalServerError) as raised:
        await async_client.with_options(max_retries=5).chat.completions.create(model=f"{flaky}/down-async", messages=message)
    attempts = int(raised.value.response.headers["x-fulcrum-attempts"])
    assert len(recorder.calls("down-async")) == attempts == 3
