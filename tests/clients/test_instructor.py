"""instructor in each of its modes of OpenAI's and Anthropic's packages, before a provider of each dialect."""

import pytest

from conftest import SERVICES
from gateway import BELIEVABLE, REPOSITORY

PYTHON = SERVICES / "frameworks/bin/python"
PROGRAM = REPOSITORY / "tests/clients/programs/instructor_client.py"
MODES = [
    *(f"openai-{mode}" for mode in ("tools", "strict", "json", "markdown", "schema", "responses")),
    *(f"anthropic-{mode}" for mode in ("tools", "json")),
]
PERSON = {"name": "Ada Lovelace", "notes": 7, "kind": "Ada Lovelace"}


@pytest.fixture(scope="module")
def observed(run):
    return run(PYTHON, PROGRAM, seconds=400)


@pytest.mark.parametrize("provider", BELIEVABLE)
@pytest.mark.parametrize("mode", MODES)
def test_objects_come_whole_streamed_and_corrected(observed, mode, provider):
    reported = observed[provider][mode]
    assert reported["whole"] == {"person": PERSON, "input": 20}
    assert reported["at_once"] == PERSON
    # The first answer breaks a rule; after a correction the second does not.
    assert reported["corrected"] == "ADA LOVELACE"
    assert reported["exhausted"] == {"attempts": 3, "says": True}
    # Gemini sends a tool's arguments whole.
    assert reported["partial"]["last"] == PERSON and (reported["partial"]["grew"] or provider == "as-gemini")
    assert reported["several"] == ["Ada Lovelace"]
    assert reported["refused"] == ["NotFoundError", True]
