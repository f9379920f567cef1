"""langchain-openai, and the 2.x line of openai-python under it, in a virtual environment of their own."""

import pytest

from conftest import SERVICES
from gateway import REPOSITORY

PYTHON = SERVICES / "frameworks/bin/python"
PROGRAMS = REPOSITORY / "tests/clients/programs"


@pytest.fixture(scope="module")
def langchain(run):
    return run(PYTHON, PROGRAMS / "langchain_client.py")


@pytest.fixture(scope="module")
def openai_2(run):
    return run(PYTHON, PROGRAMS / "openai_2.py")


def test_invoke_has_text_usage_and_the_model(langchain):
    whole = langchain["whole"]
    assert whole["text"] and whole["usage"]["total_tokens"] > 0
    assert whole["about"]["finish_reason"] == "stop" and whole["about"]["id"].startswith("chatcmpl-sim-")


def test_stream_has_text_and_usage(langchain):
    stream = langchain["stream"]
    assert stream["chunks"] > 5 and stream["text"] and stream["usage"]["output_tokens"] > 0


def test_tools_are_called_and_their_results_answered(langchain):
    assert langchain["tools"]["cities"] == ["Paris", "London"] and langchain["tools"]["after"]


def test_structured_output_fits_its_model(langchain):
    assert set(langchain["recipe"]) == {"name", "minutes"}


def test_batch_and_embeddings(langchain):
    assert len(langchain["batch"]) == 3 and all(langchain["batch"])
    assert len(langchain["vectors"]) == 2 and min(langchain["vectors"]) > 100


def test_an_unknown_model_is_not_found(langchain):
    assert "NotFound" in langchain["refused"]


def test_openai_2_reads_whole_answers_streams_and_vectors(openai_2):
    assert openai_2["version"].startswith("2.")
    assert openai_2["whole"] == openai_2["stream"] and openai_2["usage"][0] == openai_2["usage"][1]
    assert set(openai_2["parsed"]) == {"name", "minutes"} and len(openai_2["vectors"]) == 2
    assert "fast" in openai_2["models"]


def test_openai_2_has_the_same_errors(openai_2):
    assert openai_2["refused"] == {"class": "NotFoundError", "code": "model_not_found", "param": "model"}
    assert openai_2["cut"]["class"] == "APIError" and openai_2["cut"]["code"] == "upstream_protocol"
