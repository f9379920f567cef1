"""LangChain's standard suite, with its clients of Anthropic's and OpenAI's APIs, before a provider of each dialect."""

import os
import subprocess
import xml.etree.ElementTree as xml

import pytest

from conftest import SERVICES
from gateway import BELIEVABLE, REPOSITORY

PYTHON = SERVICES / "frameworks/bin/python"
SUITE = REPOSITORY / "tests/clients/programs/langchain_suite.py"
CLIENTS = ["Anthropic", "JsonAnthropic", "OpenAI", "OpenAIResponses"]
# The whole loop: text, streams, tools and their results, structured output, images, usage, an agent.
MUST_PASS = {
    "test_invoke",
    "test_astream[model0]",
    "test_stream_events_v3",
    "test_batch",
    "test_double_messages_conversation",
    "test_usage_metadata",
    "test_usage_metadata_streaming",
    "test_invoke_with_model_override",
    "test_tool_calling[model1]",
    "test_tool_choice",
    "test_tool_calling_with_no_arguments",
    "test_tool_message_error_status",
    "test_structured_output[pydantic]",
    "test_structured_output_async[json_schema]",
    "test_agent_loop[model0]",
    "test_message_with_name",
    "test_unicode_tool_call_integration",
    "test_pdf_inputs",
}


@pytest.fixture(scope="module")
def outcomes(gateway, key, tmp_path_factory):
    """What became of each test: by class and name, `None` where it passed, else how it failed or why it was left out."""
    report = tmp_path_factory.mktemp("langchain") / "report.xml"
    variables = {"FULCRUM_BASE_URL": gateway.base_url, "FULCRUM_KEY": key["key"], "FULCRUM_PROVIDERS": ",".join(BELIEVABLE)}
    # The suite's own settings, not those of this folder; one loop for all, since its clients keep connections open.
    options = ["-c", os.devnull, "--noconftest", f"--rootdir={SUITE.parent}", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider"]
    for scope in ("test", "fixture"):
        options += ["-o", f"asyncio_default_{scope}_loop_scope=session"]
    command = [PYTHON, "-m", "pytest", "-q", "-W", "ignore", "--tb=short", f"--junitxml={report}", *options, SUITE]
    ended = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=540)
    assert report.exists(), f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    observed = {}
    for case in xml.parse(report).iter("testcase"):
        outcome = next(iter(case), None)
        ending = outcome if outcome is None else (outcome.tag, f"{outcome.get('message')}\n{outcome.text or ''}"[-1500:])
        observed.setdefault(case.get("classname").rpartition(".")[2], {})[case.get("name")] = ending
    return observed


@pytest.mark.parametrize("provider", BELIEVABLE)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_suite_passes(outcomes, client, provider):
    observed = outcomes[f"Test_{client}_{provider}"]
    failed = {name: ending[1] for name, ending in observed.items() if ending and ending[0] != "skipped"}
    assert not failed, "\n\n".join(f"{name}: {ending}" for name, ending in failed.items())
    assert {name for name in MUST_PASS if observed[name] is not None} == set()
