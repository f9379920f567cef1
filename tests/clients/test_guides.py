"""The blocks of README and the guides, run as they stand, from the first of a document to its last.

Every `sh`, `python` and `json` block is run or read. A block behind `<!-- not run: REASON -->` is left out. The address and the
key of the examples become those of the test's gateway. `toml` blocks are read by tests/tidy.rs.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import httpx
import pytest

from gateway import REPOSITORY, Process, binary

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs/guides").glob("*.md"))]
BLOCK = re.compile(r"^(?:<!-- (not run|an error): (.+) -->\n)?```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("sh", "python", "json")
SECONDS = 90

# What dialects.md says of its own, at a provider that needs no key.
MORE = """
[models.sonnet]
provider = "simulated"
"""


def blocks(document):
    """Each block that is run or left out: its line, kind, mark and text."""
    text = document.read_text()
    for found in BLOCK.finditer(text):
        mark, reason, kind, info, body = found.groups()
        if kind in RUN:
            yield text[: found.start()].count("\n") + 1, kind, mark, body
        assert not info.strip(), f"{document.name}: a block with `{info}`: say it in a comment before the block"
        assert mark is None or len(reason) > 10, f"{document.name}: a block is left out without a reason"


@pytest.fixture
def gateway(tmp_path):
    """A gateway on the sample configuration, in a folder of its own, with a key for applications."""
    for folder in ("config", "prompts"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    config = tmp_path / "config/fulcrum.toml"
    config.write_text(config.read_text().replace("127.0.0.1:8080", "127.0.0.1:0") + MORE)
    process = Process(tmp_path, config, {})
    made = httpx.post(
        f"{process.url}/api/v1/keys", json={"name": "guides"}, headers={"authorization": f"Bearer {process.admin_key}"}
    )
    process.key = made.json()["key"]
    yield process
    assert process.stop() == 0, process.log.read_text()[-3000:]


def run(gateway, folder, kind, body):
    body = body.replace("http://127.0.0.1:8080", gateway.url).replace("fk-…", gateway.key)
    words = ["bash", "-euo", "pipefail", "-c", body] if kind == "sh" else [sys.executable, "-c", body]
    environment = {
        **os.environ, "PATH": f"{binary().parent}:{os.environ['PATH']}",
        "URL": gateway.url, "KEY": gateway.key, "ADMIN_KEY": gateway.admin_key,
    }
    ended = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert ended.returncode == 0, f"{body}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def is_error(output):
    return bool(re.search(r'"error": ?\{', output))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_block_of_the_document_works_as_it_stands(document, gateway, tmp_path):
    for line, kind, mark, body in blocks(document):
        place = f"{document.name}:{line}"
        if mark == "not run":
            continue
        if kind == "json":
            assert json.loads(body), place
            continue
        try:
            output = run(gateway, tmp_path, kind, body)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            raise AssertionError(f"{place}: {error}") from error
        assert is_error(output) == (mark == "an error"), f"{place}: {output}"


def test_most_blocks_are_run():
    all_blocks = [mark for document in DOCUMENTS for _, _, mark, _ in blocks(document)]
    assert len(all_blocks) > 30 and all_blocks.count("not run") < len(all_blocks) / 4, all_blocks


def test_a_prompt_is_cached_for_the_user_of_the_guide(gateway, tmp_path):
    """The guide's own words: sent twice, the second answer is a hit."""
    document = REPOSITORY / "docs/guides/getting-started.md"
    [block] = [body for _, kind, _, body in blocks(document) if kind == "sh" and '"user": "ada"' in body]
    for expected in ("x-fulcrum-cache: miss", "x-fulcrum-cache: hit"):
        assert expected in run(gateway, tmp_path, "sh", block)


def test_a_recipe_of_a_release_releases_nothing_while_a_person_types(gateway, tmp_path):
    """Between two lines the gateway takes up what the folder of prompts says, as it does within seconds by itself."""
    document = REPOSITORY / "docs/guides/prompts.md"
    [block] = [body for _, kind, _, body in blocks(document) if kind == "sh" and "--label staging" in body]
    lines = []
    for number, line in enumerate(block.splitlines(), 1):
        reread = f"until [ $(grep -c 'configuration was reloaded' fulcrum.log) -ge {number} ]; do sleep 0.05; done"
        lines += [line, f"kill -HUP {gateway.process.pid}", reread]
    run(gateway, tmp_path, "sh", "\n".join(lines))
    moves = httpx.get(
        f"{gateway.url}/api/v1/prompts/support-reply/labels/production/history",
        headers={"authorization": f"Bearer {gateway.admin_key}"},
    ).json()["rows"]
    assert [(move["version"], move["author"] == "import") for move in moves] == [(1, False), (2, False), (1, True)], moves


def test_the_guides_snippets_of_each_sdk_reach_the_stored_prompt(gateway, tmp_path):
    document = REPOSITORY / "docs/guides/getting-started.md"
    for _, kind, _, body in blocks(document):
        if kind == "python":
            run(gateway, tmp_path, kind, body)
    rows = httpx.get(
        f"{gateway.url}/api/v1/requests?prompt=support-reply",
        headers={"authorization": f"Bearer {gateway.admin_key}"},
    ).json()["rows"]
    endpoints = {row["endpoint"] for row in rows}
    assert len(endpoints) == 3 and {"/v1/chat/completions", "/v1/messages"} < endpoints, endpoints
