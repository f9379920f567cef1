"""The quick start, with no key, no configuration of one's own and nothing to call."""

import os
import re
import signal
import subprocess
import sys

import pytest

from gateway import REPOSITORY, binary

# Nothing of the caller's environment that could help: no key, no address, no configuration.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def fulcrum(*arguments):
    return subprocess.run(
        [binary(), *arguments], cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )


def test_the_demo_ends_well_after_its_report():
    ended = fulcrum("demo", "--exit", "--full", "--listen", "127.0.0.1:0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for title in ("SIMULATED", "Usage by route", "Usage by model", "Usage by prompt", "fallback", "support-reply"):
        assert title in ended.stdout, f"{title}:\n{ended.stdout}"


@pytest.fixture(scope="module")
def printed():
    """What a demo prints that stays up."""
    demo = subprocess.Popen(
        [binary(), "demo", "--full", "--listen", "127.0.0.1:0"],
        cwd=REPOSITORY, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
    )
    printed = ""
    for line in demo.stdout:
        printed += line
        if "stays up at" in line:
            break
    yield printed
    demo.send_signal(signal.SIGINT)
    assert demo.wait(timeout=20) == 0
    demo.stdout.close()


@pytest.fixture
def pasted(printed):
    """The lines to paste, by the comment over each."""
    lines = printed.partition("== More lines to paste")[2].partition("\nThe gateway stays up")[0]
    return dict(re.findall(r"^# (.+)\n((?:(?!#).+\n)+)", lines, re.MULTILINE))


def shell(lines):
    environment = {**os.environ, "PATH": f"{binary().parent}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-ec", lines], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_lines_of_the_first_screen_work_as_they_stand(printed):
    screen = printed.partition("\n== ")[0]
    lines = [line.strip() for line in screen.partition("Try it")[2].splitlines() if line.startswith("  ")]
    answer = shell("\n".join(lines))
    assert len(lines) in (4, 5), lines
    assert "HTTP/1.1 200" in answer and "x-fulcrum-simulated: true" in answer and "support-reply" in answer, answer


def test_every_line_to_paste_works_as_it_stands(pasted):
    seen = {title: shell(lines) for title, lines in pasted.items() if lines.startswith(("curl", "/", "target", "fulcrum"))}
    assert len(seen) >= 5, list(pasted)
    for title, answer in seen.items():
        assert answer.strip() and '"error":{' not in answer, f"{title}: {answer}"
    assert any("chat.completion.chunk" in answer and "[DONE]" in answer for answer in seen.values())
    assert any("x-fulcrum-prompt: support-reply@" in answer for answer in seen.values())


def test_the_python_to_paste_works_as_it_stands(pasted):
    [program] = [lines for lines in pasted.values() if lines.startswith("from openai")]
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and ended.stdout.strip(), ended.stderr


def test_the_sample_configuration_is_right():
    ended = fulcrum("check", "--config", "config/fulcrum.toml")
    assert ended.returncode == 0 and ended.stdout.strip().endswith(": ok"), ended.stdout + ended.stderr
