"""curl: what a shell script sees."""

import csv
import io
import json
import subprocess

import pytest


@pytest.fixture
def curl(gateway, key):
    def curl(path, *options, key=key["key"], body=None):
        """The status, the headers by small names, and the body."""
        sent = ["-H", "content-type: application/json", "-d", json.dumps(body)] if body is not None else []
        command = ["curl", "-sS", "-i", "--max-time", "30", "-H", f"authorization: Bearer {key}", *sent, *options]
        ended = subprocess.run([*command, gateway.url + path], capture_output=True, text=True, check=True)
        head, _, body = ended.stdout.partition("\n\n")
        status, *lines = head.splitlines()
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if ": " in line)}
        return int(status.split()[1]), headers, body

    return curl


def test_chat(curl, message):
    status, headers, body = curl("/v1/chat/completions", body={"model": "fast", "messages": message})
    assert status == 200 and headers["content-type"] == "application/json"
    assert json.loads(body)["choices"][0]["message"]["content"] and headers["x-fulcrum-request-id"]


def test_a_stream_ends_with_done(curl, message):
    ask = {"model": "fast", "messages": message, "stream": True}
    status, headers, body = curl("/v1/chat/completions", "-N", body=ask)
    events = [line for line in body.splitlines() if line]
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert all(event.startswith("data: ") for event in events) and events[-1] == "data: [DONE]"
    assert "usage" not in body


def test_a_broken_stream_has_no_done(curl, message):
    ask = {"model": "simulated/curl-cut-instant", "messages": message, "stream": True}
    _, _, body = curl("/v1/chat/completions", "-N", body=ask)
    last = [line for line in body.splitlines() if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_protocol" and "[DONE]" not in body


def test_explain_calls_nobody(curl, gateway, recorder, message):
    before = len(recorder.calls("explained"))
    ask = {"endpoint": "/v1/chat/completions", "model": "echo/explained", "messages": message}
    status, _, body = curl("/v1/explain", body=ask)
    answer = json.loads(body)
    assert status == 200 and [candidate["model"] for candidate in answer["candidates"]] == ["echo/explained"]
    assert len(recorder.calls("explained")) == before == 0
    ask = {"endpoint": "/v1/chat/completions", "model": "steady", "messages": message, "max_tokens": 100}
    answer = json.loads(curl("/v1/explain", body=ask)[2])
    assert answer["route"] == "falls-back" and answer["tokens"]["max_output"] == 100
    assert [candidate["model"] for candidate in answer["candidates"]] == ["echo/fallible", "simulated/gpt-4o-mini-instant"]


def test_usage_as_csv_says_what_json_says(curl, gateway, key):
    curl("/v1/chat/completions", body={"model": "fast", "messages": [{"role": "user", "content": "Count me"}]})
    path = f"/api/v1/usage?by=model&key={key['id']}"
    status, headers, body = curl(f"{path}&format=csv", key=gateway.admin_key)
    assert status == 200 and headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(body)))
    answer = json.loads(curl(path, key=gateway.admin_key)[2])["rows"]
    # Calls that no provider answered have no model: null there is an empty cell here.
    named = {row["model"] or "": row for row in answer}
    assert rows and {row["model"] for row in rows if row["model"] in named} == set(named)
    for row in (row for row in rows if row["model"] in named):
        assert int(row["input_tokens"]) == named[row["model"]]["input_tokens"]


def test_the_admin_api_is_not_for_applications(curl):
    assert curl("/api/v1/usage")[0] == 403 and curl("/api/v1/usage", key="fk-wrong")[0] == 401


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (["-d", "{", "-H", "content-type: application/json"], 400, "invalid_request"),
        (["-d", "{}", "-H", "content-type: text/plain"], 415, "unsupported_media_type"),
        (["-X", "GET"], 405, "method_not_allowed"),
    ],
)
def test_a_malformed_request_is_told(curl, options, status, code):
    answer = curl("/v1/chat/completions", *options)
    assert answer[0] == status and json.loads(answer[2])["error"]["code"] == code


def test_health_is_for_anyone_and_metrics_for_viewers(curl, gateway):
    assert curl("/health/live", key="")[0] == 200 and curl("/health/ready", key="")[0] == 200
    viewer = gateway.new_key("prometheus", role="viewer")
    status, _, body = curl("/metrics", key=viewer["key"])
    assert status == 200 and "fulcrum_requests" in body
    assert curl("/metrics")[0] == 403
