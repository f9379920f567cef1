"""One gateway for all tests: the real binary, its simulated provider, a recording upstream and a real local model."""

import json
import os
import secrets
import subprocess

import httpx
import openai
import pytest

import believable
from dialects import speak
from gateway import BELIEVABLE, FLAKY, REPOSITORY, Gateway
from recorder import Recorder

SERVICES = REPOSITORY / ".services"


@pytest.fixture(scope="session")
def model_address():
    """Where scripts/services started the real model; none is no reason to skip."""
    port = SERVICES / "model.port"
    assert port.exists(), "the model server does not run: scripts/services install && scripts/services start"
    return f"http://127.0.0.1:{port.read_text().strip()}"


@pytest.fixture(scope="session")
def recorder():
    return Recorder()


@pytest.fixture(scope="session")
def dialects():
    """Small providers of every dialect, which record too."""
    return Recorder(speak)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory, recorder, dialects, model_address):
    folder = tmp_path_factory.mktemp("gateway")
    model = Recorder(believable.speak)
    urls = {"recorder": recorder.url, "dialects": dialects.url, "believable": model.url}
    gateway = Gateway(folder, **urls, model_server=model_address)
    yield gateway
    assert gateway.process.poll() is None, f"the gateway ended by itself:\n{gateway.log.read_text()[-5000:]}"
    assert gateway.stop() == 0, f"the gateway did not end well:\n{gateway.log.read_text()[-5000:]}"
    log = gateway.log.read_text()
    assert gateway.provider_key not in log and gateway.admin_key not in log
    assert "panicked" not in log, log[-5000:]


@pytest.fixture(scope="session")
def key(gateway):
    """The row of a key for applications."""
    return gateway.new_key("clients", tags={"suite": "clients"})


@pytest.fixture(scope="session")
def client(gateway, key):
    with openai.OpenAI(base_url=gateway.base_url, api_key=key["key"], timeout=60) as client:
        yield client


@pytest.fixture
async def async_client(gateway, key):
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=key["key"], timeout=60) as client:
        yield client


@pytest.fixture
def new_client(gateway):
    """Makes a client with a key of its own; the key's row is its `row`."""
    made = []

    def make(timeout=60, max_retries=2, **settings):
        row = gateway.new_key(f"own-{secrets.token_hex(4)}", **settings)
        client = openai.OpenAI(
            base_url=gateway.base_url, api_key=row["key"], timeout=timeout, max_retries=max_retries
        )
        client.row = row
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="session")
def model_server(model_address):
    """The real model, known to answer."""
    assert httpx.get(f"{model_address}/health", timeout=5).json() == {"status": "ok"}


@pytest.fixture(scope="session")
def run(gateway, key):
    """Runs a program with the gateway's address, and returns the JSON that it prints."""

    def run(*command, seconds=120, **environment):
        variables = {"FULCRUM_BASE_URL": gateway.base_url, "FULCRUM_KEY": key["key"]}
        variables |= {"FULCRUM_PROVIDERS": ",".join(BELIEVABLE), **environment}
        ended = subprocess.run(
            [str(part) for part in command], env={**os.environ, **variables}, capture_output=True, text=True, timeout=seconds
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}\n{ended.stderr}"
        return json.loads(ended.stdout)

    return run


@pytest.fixture(scope="session")
def flaky_names():
    return iter(FLAKY)


@pytest.fixture
def flaky(flaky_names):
    """A provider that no other test calls; the recorder answers for it."""
    return next(flaky_names)


@pytest.fixture
def message():
    """A user's message that no other test sends."""
    return [{"role": "user", "content": f"Tell me of the harbour, briefly ({secrets.token_hex(4)})"}]
