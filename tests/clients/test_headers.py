"""openai-python: with_raw_response, and the headers that tell what Fulcrum did."""

from uuid import UUID

HIDDEN = ("x-simulated", "x-request-id", "set-cookie", "server", "openai-organization")


def test_a_whole_answer_tells_its_request_model_cost_and_attempts(client, gateway, message):
    raw = client.chat.completions.with_raw_response.create(
        model="fast",
        messages=message,
        user="u-1",
        extra_headers={"x-fulcrum-tags": "team=search,env=test", "x-fulcrum-session": "s-1"},
    )
    headers = raw.headers
    assert UUID(headers["x-fulcrum-request-id"]).version == 7
    assert headers["x-fulcrum-model"] == "simulated/gpt-4o-mini-instant" and headers["x-fulcrum-attempts"] == "1"
    usage = raw.parse().usage
    cost = (usage.prompt_tokens * 150 + usage.completion_tokens * 600) / 1e9
    assert abs(float(headers["x-fulcrum-cost-usd"]) - cost) < 1e-9
    row = gateway.row(headers["x-fulcrum-request-id"])
    assert row["cost_usd"] == headers["x-fulcrum-cost-usd"]
    assert (row["user"], row["session"], row["tags"]) == ("u-1", "s-1", {"team": "search", "env": "test", "suite": "clients"})
    assert (row["input_tokens"], row["output_tokens"]) == (usage.prompt_tokens, usage.completion_tokens)


def test_nothing_else_of_the_upstreams_headers_goes_down(client, recorder, message):
    from recorder import Answer, completion

    recorder.script("chatty", Answer(body=completion(), headers={name: "secret" for name in HIDDEN}))
    for model in ("echo/chatty", "fast"):
        headers = client.chat.completions.with_raw_response.create(model=model, messages=message).headers
        assert not [name for name in HIDDEN if headers.get(name) == "secret" or name in ("x-simulated",) and name in headers]


async def test_a_stream_tells_its_request_too(async_client, message):
    raw = await async_client.chat.completions.with_raw_response.create(model="fast", messages=message, stream=True)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert UUID(raw.headers["x-fulcrum-request-id"]) and "x-fulcrum-cost-usd" not in raw.headers
    assert [chunk async for chunk in raw.parse()]
    async with async_client.chat.completions.with_streaming_response.create(model="fast", messages=message) as response:
        assert response.headers["x-fulcrum-request-id"] and b"chat.completion" in await response.read()


def test_cache_directives_are_headers(client, message):
    def ask(**headers):
        raw = client.chat.completions.with_raw_response.create(model="cached", messages=message, extra_headers=headers)
        return raw.headers["x-fulcrum-cache"]

    assert [ask(), ask(), ask(**{"x-fulcrum-cache": "bypass"}), ask(**{"cache-control": "no-cache"})] == [
        "miss",
        "hit",
        "bypass",
        "miss",
    ]
