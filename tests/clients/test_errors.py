"""openai-python: the class and the fields of the error for each failure."""

import httpx
import openai
import pytest

from recorder import Answer, error


def failing(client, model, messages, retries=0, **fields):
    """The error of a call that must fail."""
    with pytest.raises(openai.APIError) as raised:
        client.with_options(max_retries=retries).chat.completions.create(model=model, messages=messages, **fields)
    return raised.value


def test_a_wrong_key_is_401(gateway, message):
    for key in ("fk-0000000000000000000000000000000000000000", "sk-mine"):
        with openai.OpenAI(base_url=gateway.base_url, api_key=key) as client:
            refused = failing(client, "fast", message)
        assert type(refused) is openai.AuthenticationError and refused.code == "invalid_api_key"
        assert key not in refused.message


def test_a_revoked_key_is_401(new_client, gateway, message):
    client = new_client()
    client.chat.completions.create(model="fast", messages=message)
    assert gateway.admin.delete(f"/keys/{client.row['id']}").status_code == 200
    assert type(failing(client, "fast", message)) is openai.AuthenticationError


def test_a_model_that_the_key_may_not_call_is_403(new_client, message):
    refused = failing(new_client(models=["fast"]), "smart", message)
    assert type(refused) is openai.PermissionDeniedError
    assert (refused.code, refused.param) == ("model_not_allowed", "model")


def test_a_viewers_key_may_call_no_model(new_client, message):
    refused = failing(new_client(role="viewer"), "fast", message)
    assert type(refused) is openai.PermissionDeniedError and refused.code == "forbidden"


def test_an_unknown_model_is_404(client, message):
    refused = failing(client, "gpt-99", message)
    assert type(refused) is openai.NotFoundError
    assert (refused.code, refused.param) == ("model_not_found", "model") and "gpt-99" in refused.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"extra_body": {"stream": "yes"}}, "stream"),
    ],
)
def test_a_bad_field_is_400_and_named(client, message, fields, param):
    refused = failing(client, "fast", fields.pop("messages", message), **fields)
    assert type(refused) is openai.BadRequestError
    assert refused.param == param and refused.code and refused.type == "invalid_request_error"
    assert refused.request_id is None or refused.request_id


def test_a_too_long_request_is_told_by_its_code(client, message):
    refused = failing(client, "simulated/m-context-length-instant", message)
    assert type(refused) is openai.BadRequestError and refused.code == "context_length_exceeded"


def test_a_providers_400_keeps_its_message_param_and_code(client, recorder, message):
    recorder.script("refused", error(400, "top_k is too large", type="invalid_request_error", param="top_k", code="too_big"))
    refused = failing(client, "echo/refused", message, retries=2)
    assert type(refused) is openai.BadRequestError
    assert (refused.param, refused.code) == ("top_k", "too_big") and "top_k is too large" in refused.message
    assert len(recorder.calls("refused")) == 1


def test_a_providers_422_keeps_its_status(client, recorder, message):
    recorder.script("unprocessable", error(422, "no"))
    assert type(failing(client, "echo/unprocessable", message)) is openai.UnprocessableEntityError


def test_a_keys_own_limit_is_429_with_retry_after(new_client, message):
    client = new_client(requests_per_minute=2)
    for _ in range(2):
        raw = client.chat.completions.with_raw_response.create(model="fast", messages=message)
        assert raw.headers["x-ratelimit-limit-requests"] == "2"
    refused = failing(client, "fast", message)
    assert type(refused) is openai.RateLimitError and refused.code == "rate_limit_exceeded"
    assert 1 <= int(refused.response.headers["retry-after"]) <= 60


def test_a_providers_limit_is_429_with_its_retry_after(client, recorder, message):
    recorder.script("limited", error(429, "slow down", {"retry-after": "45"}, code="rate_limit_exceeded"))
    refused = failing(client, "echo/limited", message)
    assert type(refused) is openai.RateLimitError and refused.code == "upstream_rate_limited"
    assert 44 <= int(refused.response.headers["retry-after"]) <= 45 and len(recorder.calls("limited")) == 1


def test_a_refused_provider_key_is_not_the_callers_fault(client, recorder, gateway, message):
    recorder.script("bad-key", error(401, f"Incorrect API key: {gateway.provider_key}", code="invalid_api_key"))
    refused = failing(client, "echo/bad-key", message)
    assert type(refused) is openai.InternalServerError and refused.status_code == 502
    assert refused.code == "upstream_auth" and gateway.provider_key not in str(refused.body)


def test_an_unreachable_provider_is_502(client, message):
    refused = failing(client, "gone/model", message)
    assert type(refused) is openai.InternalServerError
    assert (refused.status_code, refused.code) == (502, "upstream_connect")


def test_a_slow_provider_is_504(client, recorder, message):
    recorder.script("slow", Answer(body={}, delay=4))
    refused = failing(client, "impatient/slow", message)
    assert type(refused) is openai.InternalServerError
    assert (refused.status_code, refused.code) == (504, "upstream_timeout")


def test_a_stalled_stream_ends_as_an_error(client, recorder, message):
    from recorder import chunk

    recorder.script("stalls", Answer(pieces=[chunk({"content": "Hi"}), chunk({}, "stop")], gap=4))
    stream = client.chat.completions.create(model="impatient/stalls", messages=message, stream=True)
    assert next(stream).choices[0].delta.content == "Hi"
    with pytest.raises(openai.APIError) as raised:
        list(stream)
    assert raised.value.code == "upstream_timeout"


def test_the_callers_own_limit_is_408(client, recorder, message):
    recorder.script("hurry", Answer(body={}, delay=4))
    refused = failing(client, "echo/hurry", message, extra_headers={"x-fulcrum-timeout": "300ms"})
    assert refused.status_code == 408 and refused.code == "request_timeout"


def test_a_whole_answer_that_is_cut_is_502(client, recorder, flaky, message):
    from recorder import chunk

    recorder.script("no-json", Answer(pieces=[b'{"choices": ['], broken=True))
    recorder.script("wrong-kind", Answer(pieces=[chunk({"content": "Hi"})]))
    for model in ("no-json", "wrong-kind"):
        refused = failing(client, f"{flaky}/{model}", message)
        assert (refused.status_code, refused.code) == (502, "upstream_protocol")


def test_an_error_has_all_four_fields_and_its_request(gateway, key):
    answer = httpx.post(
        f"{gateway.base_url}/chat/completions", headers={"authorization": f"Bearer {key['key']}"}, content=b"[1"
    )
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/json"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-fulcrum-request-id"]
