"""openai-python: what a key may call."""

import openai
import pytest


def test_models_are_listed_and_retrieved(client):
    listed = {model.id: model for model in client.models.list()}
    assert {"fast", "smart", "smollm2", "auto", "prompt/support-reply"} <= set(listed)
    assert all(model.object == "model" and model.owned_by for model in listed.values())
    fast = client.models.retrieve("fast")
    assert fast == listed["fast"] and fast.fulcrum["simulated"] and fast.fulcrum["provider"] == "simulated"
    assert client.models.retrieve("smollm2").fulcrum["local"]


def test_a_name_with_a_slash_is_retrieved(client):
    assert client.models.retrieve("prompt/support-reply").id == "prompt/support-reply"


def test_an_unknown_model_is_404(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("no-such")
    assert raised.value.code == "model_not_found" and raised.value.param == "model"


async def test_a_key_of_few_models_sees_only_those(new_client, async_client):
    assert [model.id for model in new_client(models=["smart", "vectors"]).models.list()] == ["smart", "vectors"]
    assert len([model async for model in async_client.models.list()]) > 2
