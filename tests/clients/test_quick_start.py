"""The quick start, with no key, no configuration of one's own and nothing to call."""

import os
import subprocess

from gateway import REPOSITORY, binary


def fulcrum(*arguments):
    """Its end and what it said; nothing of the caller's environment that could help it."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [binary(), *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_demo_shows_every_part_and_ends_well():
    ended = fulcrum("demo", "--exit")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for said in ("prompt", "hit", "simulated", "fallback", "curl"):
        assert said in ended.stdout.lower(), f"{said}:\n{ended.stdout}"


def test_the_sample_configuration_is_right():
    ended = fulcrum("check", "--config", "config/fulcrum.toml")
    assert (ended.returncode, ended.stdout.strip()) == (0, "ok"), ended.stdout + ended.stderr
