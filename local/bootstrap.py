"""
Makes the environment that everything else runs in, and does nothing when it is already there.

Run by the system's own Python before any package is installed, so the standard library is all it has,
and in words that an older Python understands, so that it can say that it is too old.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import io
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
WEB = ROOT / "web"

PYTHON_AT_LEAST = (3, 11)
NODE_AT_LEAST = 20
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
JAVA_AT_LEAST = 11
_TELL_EACH_SECONDS = 10

KEYS = ("LECTERN_RECEIPT_KEY", "LECTERN_INGEST_KEY")
"""What a run signs with; also linked as ``.secret.local``, where firebase-tools' emulators look."""


def say(text: str) -> None:
    """Print *text* at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def major_version(command: "list[str]", pattern: str) -> int:
    """The first number that *pattern* finds in what *command* prints, or 0 if there is no such command."""
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError:
        return 0
    found = re.search(pattern, answer.stdout.decode(errors="replace"))
    return int(found.group(1)) if found else 0


def missing(*, browser: bool) -> "list[str]":
    """What this machine lacks, each with its command; for the tests, also a *browser* and Redis."""
    lacks = []
    if browser and not any(map(shutil.which, BROWSERS)):
        lacks.append("Chromium, for the tests:\n    sudo apt-get install chromium")
    if browser and not shutil.which("redis-server"):
        lacks.append("Redis, for the tests:\n    sudo apt-get install redis-server")
    if sys.version_info < PYTHON_AT_LEAST:
        lacks.append(
            f"Python 3.11 or newer (this is {sys.version.split()[0]}):\n    sudo apt-get install python3\n"
            "  or, where that is older, name another: make PYTHON=python3.12 run"
        )
    if not (BIN / "uv").exists() and not (
        importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv")
    ):
        lacks.append("Python's venv module:\n    sudo apt-get install python3-venv")
    if major_version(["node", "--version"], r"v(\d+)") < NODE_AT_LEAST:
        lacks.append(
            f"Node.js {NODE_AT_LEAST} or newer:\n    sudo apt-get install nodejs npm\n"
            "  or, where that is older:\n"
            "    curl -fsSL https://deb.nodesource.com/setup_20.x | sudo -E bash -\n"
            "    sudo apt-get install nodejs"
        )
    elif not shutil.which("npm"):
        lacks.append("npm:\n    sudo apt-get install npm")
    if major_version(["java", "-version"], r'version "(\d+)') < JAVA_AT_LEAST:
        lacks.append(f"Java {JAVA_AT_LEAST} or newer:\n    sudo apt-get install default-jre-headless")
    return lacks


def digest(paths: "list[Path]") -> str:
    """One digest of the names and contents of *paths*."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def once(title: str, stamp: Path, state: str, commands: "list[list[Any]]") -> None:
    """Run *commands* unless *stamp* says that it was done for *state*."""
    if stamp.exists() and stamp.read_text() == state:
        return
    say(f"{title} …")
    began = time.time()
    for command in commands:
        run([str(part) for part in command], began)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(state)
    say(f"{title}: done in {time.time() - began:.0f} s")


def run(command: "list[str]", began: float) -> None:
    """Run *command*, and now and then say how long it has taken since *began*."""
    with subprocess.Popen(command, cwd=str(ROOT), env=environment()) as process:
        while True:
            try:
                status = process.wait(_TELL_EACH_SECONDS)
            except subprocess.TimeoutExpired:
                say(f"  … {time.time() - began:.0f} s")
            else:
                break
    if status != 0:
        raise subprocess.CalledProcessError(status, command)


def environment() -> "dict[str, str]":
    """This process's environment without what would lead the tools elsewhere."""
    astray = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in astray}
    kept.update({"UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never"})
    return kept


def pinned_uv() -> str:
    """The version of uv that pyproject.toml names."""
    found = re.findall(r'"uv==([0-9.]+)"', (ROOT / "pyproject.toml").read_text())
    return str(found[0])


def python_environment() -> None:
    """``.venv`` with exactly what uv.lock names; also as ``venv``, where firebase-tools looks."""
    commands = []  # type: list[list[Any]]
    if not (BIN / "uv").exists() or not (BIN / "python").exists():
        pip = [BIN / "python", "-m", "pip", "--disable-pip-version-check"]
        commands += [[sys.executable, "-m", "venv", VENV], [*pip, "install", "--quiet", "uv==" + pinned_uv()]]
    # Functions and tests start hundreds of processes: none of them should compile what it imports.
    commands.append([BIN / "uv", "sync", "--frozen", "--compile-bytecode", "--python", BIN / "python"])
    state = digest([ROOT / "pyproject.toml", ROOT / "uv.lock"])
    once("Python packages", VENV / ".lectern", state, commands)
    also_known_as(ROOT / "venv", ".venv")


def node_modules() -> None:
    """
    ``web/node_modules`` with exactly what package-lock.json names; also as ``node_modules``, for npx.

    package.json is not in the root, where firebase-tools would take the functions for Node's.
    """
    state = digest([WEB / "package.json", WEB / "package-lock.json"])
    commands = [
        [
            "npm",
            "ci",
            "--ignore-scripts",
            "--prefix",
            WEB,
            "--prefer-offline",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]
    ]
    stamp = WEB / "node_modules" / ".lectern"
    once("Node packages (a minute or two the first time)", stamp, state, commands)
    also_known_as(ROOT / "node_modules", "web/node_modules")


def web_pages() -> None:
    """``web/dist``, built from ``web/``."""
    stamp = WEB / "dist" / ".lectern"
    skipped = {WEB / "dist", WEB / "node_modules"}
    sources = [path for path in WEB.rglob("*") if path.is_file() and not skipped.intersection(path.parents)]
    sources.append(ROOT / "docs" / "openapi.json")  # the reference shows it
    if stamp.exists() and not (WEB / "dist" / "index.html").exists():
        stamp.unlink()
    once("Web pages", stamp, digest(sources), [["npm", "run", "--prefix", WEB, "--silent", "build"]])


def make_keys(path: Path) -> None:
    """Secrets of this checkout, made once, readable by their owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as fresh:
        fresh.writelines(f"{name}={secrets.token_urlsafe(48)}\n" for name in KEYS)


def also_known_as(alias: Path, target: str) -> None:
    """Make *alias* a link to *target* unless something is there."""
    if not alias.is_symlink() and not alias.exists():
        alias.symlink_to(target)


def main() -> int:
    """Prepare the checkout, one at a time; each part is made only when its lock or its sources changed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--browser", action="store_true", help="make sure that there is a browser to test with"
    )
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    lacks = missing(browser=arguments.browser)
    if lacks:
        say("Lectern needs, on this machine:\n\n" + "\n\n".join(lacks) + "\n")
        return 1
    try:
        with Path(__file__).open() as myself:
            fcntl.flock(myself, fcntl.LOCK_EX)
            python_environment()
            node_modules()
            web_pages()
            make_keys(ROOT / ".local" / "keys")
            also_known_as(ROOT / ".secret.local", ".local/keys")
    except subprocess.CalledProcessError as error:
        say(f"This command failed with status {error.returncode}:\n    {' '.join(error.cmd)}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
