"""
Looks for weaknesses with the tools that work offline; prints one line each, and what they found.

Run as ``python -m tooling.security [name …]``; the status is the number of tools that found something.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BIN = ROOT / ".venv/bin"
PRODUCT = ["main.py", "functions", "shared"]
STARTS_PROGRAMS = "B404,B603,B606,B607"
"""What the local runner and the tooling do on purpose."""

NO_TEXT = (
    r"(^|/)(uv\.lock|package-lock\.json|requirements\.txt|\.secrets\.baseline|prompts/manifest\.json)$"
    r"|^tests/data/golden/"
)

ALLOWED_LICENCES = (
    "apache",
    "bsd",
    "isc",
    "mit",
    "mozilla public license 2.0",
    "mpl-2.0",
    "psf",
    "python software foundation",
    "unlicense",
)
DEVELOPMENT_ONLY = {"semgrep": "LGPL", "rfc3987": "GPL", "chardet": "LGPL"}
"""Tools that are run and never shipped: their licences bind nobody who uses the product."""


def _run(*command: str) -> tuple[bool, str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def _tracked() -> list[str]:
    return subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")


def bandit() -> tuple[bool, str]:
    """Python's usual mistakes, of every severity."""
    product, said = _run(str(BIN / "bandit"), "-q", "-r", *PRODUCT)
    rest, more = _run(str(BIN / "bandit"), "-q", "-s", STARTS_PROGRAMS, "-ll", "-r", "local", "tooling")
    return product and rest, said + more


def semgrep() -> tuple[bool, str]:
    """Our own rules."""
    return _run(
        str(BIN / "semgrep"), "scan", "--error", "--quiet", "--metrics=off", "--disable-version-check",
        "--jobs=2", "--config", "tooling/semgrep/lectern.yaml", *PRODUCT,
    )  # fmt: skip


def secrets() -> tuple[bool, str]:
    """Keys and passwords among the files under version control, apart from those known to be none."""
    files = [name for name in _tracked() if name and (ROOT / name).is_file()]
    return _run(
        str(BIN / "detect-secrets-hook"),
        "--baseline",
        ".secrets.baseline",
        "--exclude-files",
        NO_TEXT,
        *files,
    )


def workflows() -> tuple[bool, str]:
    """What the workflows may do, and that their actions are pinned."""
    return _run(str(BIN / "zizmor"), "--offline", "--quiet", ".github")


def licences() -> tuple[bool, str]:
    """That every package may be used: those shipped by an allow-list, tools with exceptions by name."""
    done, said = _run(str(BIN / "pip-licenses"), "--format=json")
    if not done:
        return False, said
    refused = [
        f"{each['Name']} {each['Version']}: {each['License']}"
        for each in json.loads(said)
        if not _allowed(each["Name"].lower(), each["License"].lower())
    ]
    return not refused, "\n".join(refused)


def _allowed(name: str, licence: str) -> bool:
    if name in DEVELOPMENT_ONLY and name not in shipped():
        return True
    if licence == "unknown":
        return name in _READ_BY_HAND
    return any(each in licence for each in ALLOWED_LICENCES) and "general public" not in licence


_READ_BY_HAND = {"face": "BSD-3-Clause", "peewee": "MIT"}
"""Packages that do not say it in their metadata."""


def shipped() -> set[str]:
    """The packages that a deployment installs."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {line.partition("==")[0].partition("[")[0].lower() for line in lines if "==" in line}


def hashes() -> tuple[bool, str]:
    """That every package which a deployment installs is pinned by its hash."""
    entries = (ROOT / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    loose = [
        each
        for each in entries
        if each and not each.lstrip().startswith("#") and "--hash=sha256:" not in each
    ]
    return not loose, "\n".join(loose)


TOOLS: dict[str, Callable[[], tuple[bool, str]]] = {
    each.__name__: each for each in (bandit, semgrep, secrets, workflows, licences, hashes)
}


def run(names: list[str]) -> int:
    """Run the tools of these *names*, or all; how many found something."""
    bad = 0
    for name in names or TOOLS:
        began = time.perf_counter()
        clean, said = TOOLS[name]()
        print(f"{name:10} {'clean' if clean else 'FOUND'}  {time.perf_counter() - began:5.1f} s", flush=True)
        if not clean:
            print(said)
            bad += 1
    return bad


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
