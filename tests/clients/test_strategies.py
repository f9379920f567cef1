"""Strategies of routes with a real model on llama.cpp: its log-probabilities, its queue, and a hedge beside it."""

import httpx
import pytest

from gateway import Process, eventually

CONFIG = """
[server]
listen = "127.0.0.1:0"
[database]
url = "sqlite://{folder}/fulcrum.db"
[providers.simulated]
kind = "simulated"
[providers.local]
kind = "openai"
server = "llamacpp"
base_url = "{model_server}/v1"
local = true
gpu_hour = "1.20"
requests_per_second = 2
timeouts = {{ connect = "3s", first_token = "120s", idle = "120s", total = "10m" }}
[models.smollm2]
provider = "local"
[models.fast]
provider = "simulated"
model = "gpt-4o-mini-instant"
price = {{ input = "0.15", output = "0.60" }}
[[routes]]
name = "sure"
models = ["sure"]
strategy = "cascade"
targets = [{{ model = "smollm2", accept = {{ min_logprob = -20 }} }}, {{ model = "fast" }}]
[[routes]]
name = "unsure"
models = ["unsure"]
strategy = "cascade"
targets = [{{ model = "smollm2", accept = {{ min_logprob = -0.0000001 }} }}, {{ model = "fast" }}]
[[routes]]
name = "hedged"
models = ["hedged"]
strategy = "priority"
targets = [{{ model = "smollm2" }}, {{ model = "fast" }}]
hedge = {{ after = "30ms", max_extra_spend = 1.0 }}
[[routes]]
name = "busy"
models = ["busy"]
strategy = "least_busy"
targets = [{{ model = "smollm2" }}, {{ model = "fast" }}]
"""

ASK = [{"role": "user", "content": "Write a story about a lighthouse."}]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, model_server, model_address):
    folder = tmp_path_factory.mktemp("strategies")
    config = folder / "fulcrum.toml"
    config.write_text(CONFIG.format(folder=folder, model_server=model_address))
    process = Process(folder, config, {})
    process.admin = httpx.Client(
        base_url=f"{process.url}/api/v1", headers={"authorization": f"Bearer {process.admin_key}"}, timeout=20
    )
    process.key = process.admin.post("/keys", json={"name": "strategies"}).json()["key"]
    yield process
    process.admin.close()
    assert process.stop() == 0, process.log.read_text()[-3000:]


@pytest.fixture
def call(gateway):
    """The answer and its row."""

    def call(model, **more):
        answer = httpx.post(
            f"{gateway.url}/v1/chat/completions",
            json={"model": model, "messages": ASK, "max_tokens": 5, "temperature": 0, **more},
            headers={"authorization": f"Bearer {gateway.key}"},
            timeout=120,
        )
        assert answer.status_code == 200, answer.text
        row = eventually(
            lambda: (found := gateway.admin.get(f"/requests/{answer.headers['x-fulcrum-request-id']}")).status_code == 200
            and found.json(),
            "no row",
        )
        return answer, row

    return call


def test_a_cascade_keeps_what_the_models_own_log_probabilities_show_to_be_sure(call):
    answer, row = call("sure")
    assert answer.headers["x-fulcrum-model"] == "local/smollm2" and len(row["attempts"]) == 1
    choice = answer.json()["choices"][0]
    assert choice["message"]["content"]
    assert not choice.get("logprobs"), "the caller did not ask for them"
    answer, _ = call("sure", logprobs=True)
    assert answer.json()["choices"][0]["logprobs"]["content"], "this one did"


def test_a_cascade_goes_on_where_they_do_not(call):
    answer, row = call("unsure")
    assert answer.headers["x-fulcrum-model"] == "simulated/gpt-4o-mini-instant"
    assert [(attempt["provider"], attempt["error_code"]) for attempt in row["attempts"]] == [
        ("local", "not_accepted_min_logprob"),
        ("simulated", None),
    ]
    assert row["attempts"][0]["cost_usd"] not in (None, "0"), "what was refused is paid all the same"


def test_a_hedge_answers_where_a_real_model_takes_its_time(gateway, call):
    # A hedge may add a share of what was spent, so something must be.
    call("hedged", max_tokens=1)
    answer, row = call("hedged", max_tokens=64)
    assert answer.headers["x-fulcrum-model"] == "simulated/gpt-4o-mini-instant", row
    assert [(attempt["provider"], attempt["role"]) for attempt in row["attempts"]] == [("local", None), ("simulated", "hedge")]
    assert row["attempts"][0]["error_code"] == "hedge_lost"


def test_a_servers_own_queue_is_read(gateway, call):
    call("busy")

    def read():
        page = httpx.get(f"{gateway.url}/metrics", headers={"authorization": f"Bearer {gateway.admin_key}"}, timeout=20)
        return any(line.startswith("fulcrum_server_calls{") for line in page.text.splitlines())

    assert eventually(read, "llama.cpp's /metrics was never read", seconds=20)
