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
def heard(run):
    return run(PYTHON, PROGRAM, seconds=400)


@pytest.mark.parametrize("provider", BELIEVABLE)
@pytest.mark.parametrize("mode", MODES)
def test_objects_come_whole_streamed_and_corrected(heard, mode, provider):
    told = heard[provider][mode]
    assert told["whole"] == {"person": PERSON, "input": 20}
    assert told["at_once"] == PERSON
    # The first answer breaks a rule, is told so, and the second one does not.
    assert told["corrected"] == "ADA LOVELACE"
    assert told["exhausted"] == {"attempts": 3, "says": True}
    # Gemini tells a tool's arguments whole.
    assert told["partial"]["last"] == PERSON and (told["partial"]["grew"] or provider == "as-gemini")
    assert told["several"] == ["Ada Lovelace"]
    assert told["refused"] == ["NotFoundError", True]
