"""Each SDK's class of error for each status of a provider, in each dialect, and who retries."""

import secrets

import anthropic
import openai
import pytest
from google.genai import errors

from recorder import Answer
from speakers import SPEAKERS

# What a provider answers, what the caller then gets, and in which class of OpenAI's, Anthropic's and Google's SDK.
STATUSES = [
    (400, 400, "BadRequestError"),
    (401, 502, "InternalServerError"),
    (403, 403, "PermissionDeniedError"),
    (404, 404, "NotFoundError"),
    (413, 413, "APIStatusError"),
    (422, 422, "UnprocessableEntityError"),
    (429, 429, "RateLimitError"),
    (500, 500, "InternalServerError"),
    (503, 503, "InternalServerError"),
]
PROVIDERS = {"of-chat": "chat", "of-responses": "responses", "of-anthropic": "anthropic", "of-gemini": "gemini"}


@pytest.fixture(scope="module")
def speakers(gateway, key):
    return {name: speaker(gateway, key["key"]) for name, speaker in SPEAKERS.items()}


def body(provider: str, status: int) -> dict:
    message = f"refused with {status}"
    if provider == "of-anthropic":
        return {"type": "error", "error": {"type": "api_error", "message": message}}
    if provider == "of-gemini":
        return {"error": {"code": status, "message": message, "status": "UNKNOWN"}}
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}


@pytest.mark.parametrize("client", SPEAKERS)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_each_status_has_its_class(speakers, dialects, client, provider, stream):
    seen = {}
    for given, *_ in STATUSES:
        # A model of its own each, since those that fail are left alone for a while.
        model = dialects.script(f"s{given}-{secrets.token_hex(4)}", Answer(given, body(provider, given)))
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError, errors.APIError)) as raised:
            speakers[client].ask(f"{provider}/{model}", stream)
        error = raised.value
        status = error.code if client == "gemini" else error.status_code
        name = type(error).__name__
        advice = client != "gemini" and error.response.headers.get("x-should-retry")
        tried = len(dialects.calls(model))
        assert tried == 1 or client == "gemini" or advice == "false", f"{given} was tried {tried} times in silence"
        seen[given] = (status, ("ClientError" if status < 500 else "ServerError") if client == "gemini" else name)
        if given != 401:
            assert f"refused with {given}" in str(error) or given >= 500
    expected = {given: (status, name) for given, status, name in STATUSES}
    if client == "anthropic":
        expected[413] = (413, "ContentTooLargeError")
        expected[503] = (503, "ServiceUnavailableError")
    if client == "gemini":
        expected = {given: (status, "ClientError" if status < 500 else "ServerError") for given, status, _ in STATUSES}
    assert seen == expected
