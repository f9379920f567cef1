"""openai-python: embeddings. The SDK asks for base64 by itself and decodes it."""

import math

import pytest

from recorder import Answer, error

FLOATS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25, 1e-7]}],
    "model": "vectors",
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}


def test_the_sdks_default_gives_vectors_of_length_one(client):
    answer = client.embeddings.create(model="vectors", input=["red boots", "blue boots", "a tax form"])
    assert [item.index for item in answer.data] == [0, 1, 2]
    for item in answer.data:
        assert len(item.embedding) > 100 and math.isclose(math.hypot(*item.embedding), 1, rel_tol=1e-3)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_base64_and_floats_are_the_same_vectors(client):
    plain = client.embeddings.create(model="vectors", input="red boots", encoding_format="float")
    coded = client.embeddings.create(model="vectors", input="red boots")
    assert coded.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)


def test_dimensions_are_obeyed(client):
    answer = client.embeddings.create(model="vectors", input="red boots", dimensions=64)
    assert len(answer.data[0].embedding) == 64


@pytest.mark.parametrize("given", ["text", ["a", "b"], [1, 2, 3], [[1, 2], [3, 4]]])
def test_every_form_of_input_is_taken(client, given):
    many = len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
    assert len(client.embeddings.create(model="vectors", input=given).data) == many


async def test_async_embeddings_have_their_row(async_client, gateway):
    raw = await async_client.embeddings.with_raw_response.create(model="vectors", input="red boots")
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert row["endpoint"] == "/v1/embeddings" and row["input_tokens"] == raw.parse().usage.prompt_tokens
    assert row["output_tokens"] == 0 and float(row["cost_usd"]) > 0


@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_that_only_knows_numbers_serves_the_sdks_default(client, recorder, refuses):
    answers = [error(400, "encoding_format must be float")] if refuses else []
    model = recorder.script(f"numbers-{refuses}", *answers, Answer(body=FLOATS))
    raw = client.embeddings.with_raw_response.create(model=f"echo/{model}", input="red boots")
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)
    assert raw.parse().data[0].embedding == pytest.approx([0.5, -0.25, 1e-7])
    assert recorder.calls(model)[0].body["encoding_format"] == "base64"
    assert ("encoding_format" in recorder.calls(model)[-1].body) is not refuses
