"""openai-python: calls that name a stored prompt."""

import json

import openai
import pytest

VARIABLES = {"product": "Acme Boots", "ticket": "My left boot leaks.", "facts": ["Boots have a warranty of two years."]}


def prompt(**fields):
    return {"prompt": {"variables": VARIABLES, **fields}}


def test_a_prompt_is_named_by_model(client, gateway):
    raw = client.chat.completions.with_raw_response.create(
        model="prompt/support-reply", messages=[], extra_body=prompt()
    )
    assert raw.headers["x-fulcrum-prompt"] == "support-reply@1" and raw.parse().choices[0].message.content
    row = gateway.row(raw.headers["x-fulcrum-request-id"])
    assert (row["prompt"], row["version"], row["route"]) == ("support-reply", 1, "auto")


def test_a_prompt_is_named_by_the_bodys_prompt_object(client, recorder):
    history = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello!"}]
    fields = {"prompt": {"id": "support-reply", "version": "1", "variables": {**VARIABLES, "history": history}}}
    client.chat.completions.create(
        model="echo/prompted", messages=[{"role": "user", "content": "P.S. Both boots."}], temperature=0.9, extra_body=fields
    )
    sent = recorder.calls("prompted")[0].body
    assert "prompt" not in sent
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "user", "user"]
    assert "1. Boots have a warranty of two years." in sent["messages"][0]["content"]
    assert sent["messages"][3]["content"] == "My left boot leaks." and sent["messages"][4]["content"] == "P.S. Both boots."
    assert sent["temperature"] == 0.9 and sent["max_tokens"] == 500


def test_a_prompt_streams_as_well(client):
    chunks = list(
        client.chat.completions.create(
            model="prompt/support-reply@production", messages=[], stream=True, extra_body=prompt()
        )
    )
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_prompts_schema_holds_the_answer(client):
    answer = client.chat.completions.create(
        model="prompt/product-categoriser@1", messages=[], extra_body={"prompt": {"variables": {"title": "Cast-iron pan"}}}
    )
    reported = json.loads(answer.choices[0].message.content)
    assert set(reported) == {"category", "confidence"} and reported["category"] in {"home-kitchen", "electronics", "clothing",
        "beauty-health", "sports-outdoors", "toys-games", "books-media", "food-drink", "office-school", "other"}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"product": "Boots"}, "ticket"),
        ({**VARIABLES, "tikcet": "x"}, "tikcet"),
        ({**VARIABLES, "max_sentences": 99}, "max_sentences"),
    ],
)
def test_bad_variables_are_named_and_nothing_is_called(client, variables, named):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(
            model="prompt/support-reply", messages=[], extra_body={"prompt": {"variables": variables}}
        )
    assert raised.value.code == "invalid_variables" and named in raised.value.message
    assert "x-fulcrum-attempts" not in raised.value.response.headers


def test_a_value_is_never_rendered_again(client, recorder):
    variables = {**VARIABLES, "ticket": "{{ product }} {% include 'x' %}"}
    client.chat.completions.create(
        model="echo/inert", messages=[], extra_body={"prompt": {"id": "support-reply", "variables": variables}}
    )
    assert recorder.calls("inert")[0].body["messages"][-1]["content"] == "{{ product }} {% include 'x' %}"


@pytest.mark.parametrize("name", ["prompt/nothing", "prompt/support-reply@99", "prompt/support-reply@nowhere"])
def test_an_unknown_prompt_version_or_label_is_404(client, name):
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model=name, messages=[], extra_body=prompt())
    assert raised.value.code == "prompt_not_found" and raised.value.type == "invalid_request_error"
