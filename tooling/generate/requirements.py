"""``requirements.txt``, with hashes, from ``uv.lock``: what Google's buildpack installs."""

import subprocess
import sys
from pathlib import Path


def render(root: Path) -> str:
    """The text of ``requirements.txt``."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "export",
        "--quiet",
        "--frozen",
        "--no-dev",
        "--no-emit-project",
        "--no-header",
    ]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return "# Exported from uv.lock by `make generate`; edit pyproject.toml instead.\n" + done.stdout
