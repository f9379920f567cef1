"""Starts the real binary on a directory of its own, and speaks its admin API."""

import os
import re
import secrets
import signal
import subprocess
import time
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]

CONFIG = """
[server]
listen = "127.0.0.1:0"
shutdown_grace = "2s"

[database]
url = "sqlite://{folder}/fulcrum.db"

[prompts]
import = "{repository}/prompts"
label_on_import = "production"

[telemetry]
log_format = "json"

[defaults]
retries = 2

[providers.simulated]
kind = "simulated"

[providers.echo]                  # the recording upstream of recorder.py
kind = "openai"
base_url = "{recorder}/v1"
api_key = "env:ECHO_API_KEY"
timeouts = {{ connect = "2s", first_token = "5s", idle = "5s", total = "20s" }}

[providers.impatient]             # the same, with a short limit
kind = "openai"
base_url = "{recorder}/v1"
api_key = "env:ECHO_API_KEY"
timeouts = {{ connect = "2s", first_token = "1s", idle = "1s", total = "10s" }}

[providers.of-chat]               # small providers of each dialect, of dialects.py
kind = "openai"
base_url = "{dialects}/v1"
api_key = "env:ECHO_API_KEY"
responses = false

[providers.of-responses]
kind = "openai"
base_url = "{dialects}/v1"
api_key = "env:ECHO_API_KEY"
chat = false

[providers.of-unknown]            # the configuration does not say which of OpenAI's two it speaks
kind = "openai"
base_url = "{dialects}/v1"
api_key = "env:ECHO_API_KEY"

[providers.of-anthropic]
kind = "anthropic"
base_url = "{dialects}"
api_key = "env:ECHO_API_KEY"

[providers.of-gemini]
kind = "gemini"
base_url = "{dialects}/v1beta"
api_key = "env:ECHO_API_KEY"

[providers.as-chat]               # a model that does what it is asked, behind each dialect, of believable.py
kind = "openai"
base_url = "{believable}/v1"
api_key = "env:ECHO_API_KEY"
responses = false

[providers.as-responses]
kind = "openai"
base_url = "{believable}/v1"
api_key = "env:ECHO_API_KEY"
chat = false

[providers.as-anthropic]
kind = "anthropic"
base_url = "{believable}"
api_key = "env:ECHO_API_KEY"

[providers.as-gemini]
kind = "gemini"
base_url = "{believable}/v1beta"
api_key = "env:ECHO_API_KEY"
[providers.of-bedrock]            # of bedrock.py
kind = "bedrock"
region = "eu-central-1"
base_url = "{dialects}"
access_key_id = "env:ECHO_KEY_ID"
secret_access_key = "env:ECHO_API_KEY"

[providers.gone]                  # nobody listens there
kind = "openai"
base_url = "http://127.0.0.1:9/v1"

[providers.local]
kind = "openai"
server = "llamacpp"
base_url = "{model_server}/v1"
local = true
gpu_hour = "1.20"
requests_per_second = 2
timeouts = {{ connect = "3s", first_token = "120s", idle = "120s", total = "10m" }}

[models.fast]
provider = "simulated"
model = "gpt-4o-mini-instant"
price = {{ input = "0.15", output = "0.60", cache_read = "0.075" }}

[models.smart]
provider = "simulated"
model = "gpt-4o-instant"
price = {{ input = "2.50", output = "10" }}

[models.vectors]
provider = "simulated"
model = "text-embedding-3-small-instant"
price = {{ input = "0.02", output = "0" }}

[models.smollm2]
provider = "local"

[models.claude]
provider = "of-anthropic"
model = "claude-echo-5"
price = {{ input = "3", output = "15", cache_read = "0.30", cache_write = "3.75" }}

[models.once]
provider = "echo"
model = "once"

[models.fallible]
provider = "echo"
model = "fallible"

[[routes]]
name = "private"
when = 'metadata.privacy == "internal"'
targets = [{{ model = "smollm2" }}]
local_only = true

[[routes]]
name = "once"
models = ["once"]
targets = [{{ model = "once" }}]
retries = 0

[[routes]]
name = "falls-back"
models = ["steady"]
targets = [{{ model = "fallible" }}]
fallbacks = ["fast"]
retries = 0

[[routes]]
name = "cached"
models = ["cached"]
targets = [{{ model = "fast" }}]
cache = {{ mode = "exact", ttl = "1h", scope = "project" }}

[[routes]]
name = "auto"
models = ["auto"]
targets = [{{ model = "fast" }}]
"""

# Behind which dialects the model of believable.py is.
BELIEVABLE = ["as-chat", "as-responses", "as-anthropic", "as-gemini"]

# Names that are the same here and there, since an answer in the provider's own dialect says what it is called there.
NAMED_CONFIG = """
[models.another-{name}]
provider = "{name}"
"""

# A provider's retries are a fifth of its calls and three more, so a test that counts retries needs one of its own.
FLAKY = [f"flaky-{n}" for n in range(12)]
FLAKY_CONFIG = """
[providers.{name}]
kind = "openai"
base_url = "{recorder}/v1"
"""


def binary() -> Path:
    path = Path(os.environ.get("FULCRUM_BIN", REPOSITORY / "target/debug/fulcrum")).resolve()
    assert path.exists(), f"{path} is not there: run cargo build, or set FULCRUM_BIN"
    return path


class Process:
    """A running gateway and its address, in `folder`."""

    def __init__(self, folder: Path, config: Path, environment: dict):
        self.admin_key = f"fk-admin-{secrets.token_hex(16)}"
        self.log = folder / "fulcrum.log"
        environment = {"PATH": os.environ["PATH"], "FULCRUM_ADMIN_KEY": self.admin_key, **environment}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary(), "serve", "--config", config], cwd=folder, env=environment, stderr=log, stdout=log
            )
        self.url = self._address()

    def _address(self) -> str:
        limit = time.monotonic() + 20
        while time.monotonic() < limit and self.process.poll() is None:
            if found := re.search(r"listening at (http://[0-9.:]+)", self.log.read_text()):
                return found[1]
            time.sleep(0.05)
        raise AssertionError(f"the gateway did not start:\n{self.log.read_text()}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Gateway(Process):
    """A running gateway, its address and its admin API. `upstreams` are the addresses that CONFIG names."""

    def __init__(self, folder: Path, **upstreams: str):
        self.provider_key = f"sk-echo-{secrets.token_hex(16)}"
        self.provider_key_id = f"AKIA{secrets.token_hex(8).upper()}"
        self.config = folder / "fulcrum.toml"
        config = CONFIG.format(folder=folder, repository=REPOSITORY, **upstreams)
        flaky = [FLAKY_CONFIG.format(name=name, **upstreams) for name in FLAKY]
        named = [NAMED_CONFIG.format(name=name) for name in BELIEVABLE]
        self.config.write_text(config + "".join(flaky + named))
        super().__init__(folder, self.config, {"ECHO_API_KEY": self.provider_key, "ECHO_KEY_ID": self.provider_key_id})
        self.admin = httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"authorization": f"Bearer {self.admin_key}"}, timeout=20
        )

    @property
    def base_url(self) -> str:
        """What the SDKs take."""
        return f"{self.url}/v1"

    def new_key(self, name: str, **settings) -> dict:
        """The key's row, with its secret as `key`."""
        answer = self.admin.post("/keys", json={"name": name, **settings})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def row(self, request_id: str) -> dict:
        """The ledger's row of one request, once it is there: a row may come a moment after its stream's last byte."""
        return eventually(lambda: self._row(request_id), f"no row {request_id}")

    def _row(self, request_id: str) -> dict | None:
        answer = self.admin.get(f"/requests/{request_id}")
        return answer.json() if answer.status_code == 200 else None

    def usage(self, **parameters) -> dict:
        answer = self.admin.get("/usage", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self) -> int:
        self.admin.close()
        return super().stop()


def eventually(look, complaint: str, seconds: float = 10):
    """What `look` gives, once that is something."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(complaint)
