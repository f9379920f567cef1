"""Feedback over openai-python's own client: its errors are those of every other call."""

import openai
import pytest


def post(client, **body):
    return client.post("/feedback", body=body, cast_to=object)


def test_an_answers_id_takes_feedback_and_the_report_has_it(new_client, gateway, message):
    client = new_client()
    values = [True, False, True, True]
    for value in values:
        answer = client.chat.completions.create(model="fast", messages=message)
        stored = post(client, request_id=answer._request_id, metric="clients.resolved", value=value)
        assert stored == {"id": stored["id"]}
        again = post(client, request_id=answer._request_id, metric="clients.resolved", value=value)
        assert again == stored
    report = gateway.usage(by="model", metric="clients.resolved", key=client.row["id"])
    assert report["total"]["metric"] == {"n": 4, "mean": 0.75}


def test_what_is_wrong_with_feedback_is_an_error_of_the_sdk(client, message):
    answer = client.chat.completions.create(model="fast", messages=message)
    with pytest.raises(openai.NotFoundError) as missing:
        post(client, request_id="019abd2c-7f10-7a33-b2c4-5d6e7f8090a1", metric="resolved", value=True)
    assert (missing.value.code, missing.value.param) == ("not_found", "request_id")
    for body, field in [({"metric": "resolved"}, "value"), ({"metric": "Not plain", "value": 1}, "metric")]:
        with pytest.raises(openai.BadRequestError) as refused:
            post(client, request_id=answer._request_id, **body)
        assert (refused.value.code, refused.value.param) == ("invalid_request", field)
