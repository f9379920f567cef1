"""openai-python: whole answers, and the fields that must reach the provider and come back."""

import asyncio
import base64

from pydantic import BaseModel

PIXEL = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\0\5\xfe"
    b"\2\xfe\xa75\x81\x84\0\0\0\0IEND\xaeB`\x82"
).decode()


def test_a_whole_answer_has_text_and_usage(client, message):
    answer = client.chat.completions.create(model="fast", messages=message)
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content and choice.finish_reason == "stop"
    assert answer.object == "chat.completion" and answer.system_fingerprint == "fp_simulated"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


async def test_many_async_calls_at_once_each_get_their_own_answer(async_client):
    async def ask(n):
        messages = [{"role": "user", "content": f"What is item number {n}?"}]
        return await async_client.chat.completions.create(model="fast", messages=messages)

    answers = await asyncio.gather(*(ask(n) for n in range(40)))
    assert len({answer.id for answer in answers}) == 40
    assert all(answer.choices[0].message.content for answer in answers)


def test_n_gives_as_many_choices(client, message):
    answer = client.chat.completions.create(model="fast", messages=message, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)


def test_the_same_seed_gives_the_same_text(client, message):
    def ask(seed):
        answer = client.chat.completions.create(model="fast", messages=message, seed=seed)
        return answer.choices[0].message.content

    assert ask(7) == ask(7)
    assert len({ask(seed) for seed in range(5)}) > 1


def test_stop_ends_the_text_before_its_word(client, message):
    whole = client.chat.completions.create(model="fast", messages=message).choices[0].message.content
    word = whole.split()[2]
    for stop in (word, [word, "never-said"]):
        answer = client.chat.completions.create(model="fast", messages=message, stop=stop)
        assert word not in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"


def test_max_tokens_ends_an_answer_by_length(client, message):
    for limit in ({"max_tokens": 3}, {"max_completion_tokens": 3}):
        answer = client.chat.completions.create(model="fast", messages=message, **limit)
        assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 3


def test_logprobs_come_with_their_alternatives(client, message):
    answer = client.chat.completions.create(model="fast", messages=message, logprobs=True, top_logprobs=3)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens)
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content


def test_reasoning_tokens_are_counted_apart(client, message):
    answer = client.chat.completions.create(
        model="simulated/simulated-reasoning-instant", messages=message, reasoning_effort="low"
    )
    assert 0 < answer.usage.completion_tokens_details.reasoning_tokens < answer.usage.completion_tokens


def test_an_image_in_a_data_url_is_taken(client, recorder):
    parts = [
        {"type": "text", "text": "What is on it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
    ]
    messages = [{"role": "user", "content": parts}]
    answer = client.chat.completions.create(model="fast", messages=messages)
    assert answer.choices[0].message.content
    client.chat.completions.create(model="echo/image", messages=messages)
    assert recorder.calls("image")[0].body["messages"] == messages


class Clause(BaseModel):
    kind: str
    quote: str
    pages: list[int]


class Contract(BaseModel):
    parties: list[str]
    clauses: list[Clause]


def test_parse_reads_an_answer_into_its_pydantic_model(client, message):
    answer = client.chat.completions.parse(model="fast", messages=message, response_format=Contract)
    contract = answer.choices[0].message.parsed
    assert isinstance(contract, Contract) and answer.choices[0].message.refusal is None


def test_a_refused_answer_of_the_filter_is_told(client, message):
    answer = client.chat.completions.create(model="simulated/m-filtered-instant", messages=message)
    assert answer.choices[0].finish_reason == "content_filter"


def test_unknown_fields_pass_both_ways_in_their_order(client, recorder, message):
    from recorder import Answer, completion

    recorder.script("unknown-fields", Answer(body=completion(timings={"cache_n": 3}, zebra=[1, {"b": 2, "a": 1}])))
    extra = {"zeta": 1, "lora": [{"id": 0, "scale": 1.0}], "chat_template_kwargs": {"b": True, "a": None}, "alpha": 1e-7}
    answer = client.chat.completions.create(
        model="echo/unknown-fields", messages=message, extra_body=extra, extra_query={"x": "1"}
    )
    sent = recorder.calls("unknown-fields")[0]
    assert list(sent.body)[-4:] == list(extra) and {name: sent.body[name] for name in extra} == extra
    assert list(sent.body["chat_template_kwargs"]) == ["b", "a"]
    assert sent.path == "/v1/chat/completions"
    assert answer.timings == {"cache_n": 3} and answer.zebra == [1, {"b": 2, "a": 1}]


def test_the_provider_sees_its_own_key_and_nothing_of_the_clients(client, gateway, key, recorder, message):
    client.chat.completions.create(
        model="echo/headers", messages=message, extra_headers={"x-secret": "mine", "cookie": "a=b", "x-fulcrum-tags": "a=b"}
    )
    headers = recorder.calls("headers")[0].headers
    assert headers["authorization"] == f"Bearer {gateway.provider_key}"
    assert key["key"] not in str(headers)
    assert not [name for name in headers if name.startswith(("x-stainless", "x-fulcrum", "x-secret", "cookie", "openai-"))]
