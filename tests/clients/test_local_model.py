"""A real model on a real server: SmolLM2-135M on llama.cpp, as the provider `local`.

It is slow (some tokens a second) and not clever, so answers are short and judged by their form.
"""

import json

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("model_server")

ASK = [{"role": "user", "content": "What is the capital of France?"}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}, "large": {"type": "boolean"}},
    "required": ["city", "large"],
    "additionalProperties": False,
}


def test_chat_is_accounted_to_the_local_provider(client, gateway):
    raw = client.chat.completions.with_raw_response.create(model="smollm2", messages=ASK, max_tokens=6, seed=1)
    answer = raw.parse()
    assert answer.choices[0].message.content and answer.choices[0].finish_reason in ("length", "stop")
    assert raw.headers["x-fulcrum-model"] == "local/smollm2"
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["model"] == "local/smollm2" and [attempt["provider"] for attempt in row["attempts"]] == ["local"]
    assert (row["input_tokens"], row["output_tokens"]) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    # An hour for $1.20 at two requests a second: a 6,000th of a dollar each.
    assert row["cost_usd"] == "0.000166667" and not row["estimated"]


def test_a_stream_with_usage(client, gateway):
    raw = client.chat.completions.with_raw_response.create(
        model="smollm2", messages=ASK, max_tokens=5, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(raw.parse())
    assert chunks[-1].choices == [] and 1 <= chunks[-1].usage.completion_tokens <= 5
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] in ("length", "stop")
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["output_tokens"] == chunks[-1].usage.completion_tokens and row["first_token_ms"] is not None


def test_usage_is_known_though_nobody_asked(client, gateway):
    raw = client.chat.completions.with_raw_response.create(model="smollm2", messages=ASK, max_tokens=4, stream=True)
    assert all(chunk.choices and chunk.usage is None for chunk in raw.parse())
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert 1 <= row["output_tokens"] <= 4 and row["input_tokens"] > 10 and not row["estimated"]


def test_tokens_of_its_prompt_cache_are_counted_apart(client, gateway):
    for _ in range(2):
        raw = client.chat.completions.with_raw_response.create(model="smollm2", messages=ASK, max_tokens=2)
    usage = raw.parse().usage
    assert usage.prompt_tokens_details.cached_tokens > 0
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["cached_input_tokens"] == usage.prompt_tokens_details.cached_tokens
    assert row["input_tokens"] == usage.prompt_tokens > row["cached_input_tokens"]


def test_logprobs(client):
    answer = client.chat.completions.create(
        model="smollm2", messages=ASK, max_tokens=4, logprobs=True, top_logprobs=2, temperature=0
    )
    tokens = answer.choices[0].logprobs.content
    assert tokens and all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_a_json_schema_is_kept(client):
    form = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}}
    answer = client.chat.completions.create(
        model="smollm2", messages=ASK, max_tokens=60, temperature=0, response_format=form
    )
    reported = json.loads(answer.choices[0].message.content)
    assert isinstance(reported["city"], str) and isinstance(reported["large"], bool)


def test_the_servers_own_fields_pass_both_ways(client):
    answer = client.chat.completions.create(
        model="local/smollm2", messages=ASK, max_tokens=3, extra_body={"grammar": 'root ::= "yes"', "cache_prompt": False}
    )
    assert answer.choices[0].message.content == "yes" and answer.timings["prompt_n"] > 10


def test_n_choices(client, gateway):
    raw = client.chat.completions.with_raw_response.create(model="smollm2", messages=ASK, max_tokens=3, n=2)
    assert [choice.index for choice in raw.parse().choices] == [0, 1]
    assert gateway.row(raw.headers["x-fulcrum-request-id"])["output_tokens"] > 0


def test_a_private_call_stays_in_the_house(client, gateway):
    raw = client.chat.completions.with_raw_response.create(
        model="smart", messages=ASK, max_tokens=2, metadata={"privacy": "internal"}
    )
    assert raw.headers["x-fulcrum-model"] == "local/smollm2" and raw.headers["x-fulcrum-route"] == "private"
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["requested_model"] == "smart" and [attempt["provider"] for attempt in row["attempts"]] == ["local"]


def test_a_prompt_is_rendered_for_the_local_model(client):
    raw = client.chat.completions.with_raw_response.create(
        model="smollm2",
        messages=[],
        max_tokens=3,
        extra_body={"prompt": {"id": "support-reply", "variables": {"product": "Boots", "ticket": "They leak."}}},
    )
    assert raw.headers["x-fulcrum-prompt"] == "support-reply@1" and raw.parse().usage.prompt_tokens > 80


def test_a_request_that_is_too_long_for_it_is_told(client):
    import openai

    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "word " * 6000}])
    assert raised.value.code == "context_length_exceeded"


def test_the_tokens_of_every_choice_are_counted(client, gateway):
    asked = {"model": "smollm2", "messages": ASK, "max_tokens": 4, "n": 2, "extra_body": {"ignore_eos": True}}
    raw = client.chat.completions.with_raw_response.create(**asked)
    whole = raw.parse()
    # The server itself counts one choice only.
    assert len(whole.choices) == 2 and whole.usage.completion_tokens == 4
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert (row["output_tokens"], row["estimated"]) == (8, False)
    raw = client.chat.completions.with_raw_response.create(**asked, stream=True)
    assert {choice.index for chunk in raw.parse() for choice in chunk.choices} == {0, 1}
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert (row["output_tokens"], row["estimated"]) == (8, False)


def test_a_text_completion_with_the_callers_own_adapters(client, gateway):
    raw = client.completions.with_raw_response.create(
        model="smollm2", prompt="Once upon a time", max_tokens=3, extra_body={"lora": [{"id": 0, "scale": 0}]}
    )
    assert raw.parse().choices[0].text
    assert gateway.row(raw.headers["x-fulcrum-request-id"])["output_tokens"] <= 3


def test_its_server_is_well_by_its_own_report(gateway, model_address):
    report = httpx.get(f"{model_address}/health", timeout=10)
    assert (report.status_code, report.json()["status"]) == (200, "ok")
    rows = gateway.admin.get("/health").json()["rows"]
    assert not [row for row in rows if row["target"] == "local/*"], rows
