"""
Makes the environment that everything else runs in, and does nothing when it is already there.

Run by the system's own Python before any package is installed, so the standard library is all it has.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"

PYTHON_AT_LEAST = (3, 11)
NODE_AT_LEAST = 20
JAVA_AT_LEAST = 11


def say(text):
    """Print *text* at once, also into a pipe."""
    sys.stdout.write("%s\n" % text)
    sys.stdout.flush()


def major_version(command, pattern):
    """The first number that *pattern* finds in what *command* prints, or 0 if there is no such command."""
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError:
        return 0
    found = re.search(pattern, answer.stdout.decode(errors="replace"))
    return int(found.group(1)) if found else 0


def missing(with_java):
    """What this machine lacks, each with the command that installs it."""
    lacks = []
    if sys.version_info < PYTHON_AT_LEAST:
        lacks.append("Python 3.11 or newer (this is %d.%d)" % sys.version_info[:2] + ":\n    sudo apt-get install python3")
    if not (BIN / "uv").exists():
        try:
            import ensurepip  # noqa: F401
            import venv  # noqa: F401
        except ImportError:
            lacks.append("Python's venv module:\n    sudo apt-get install python3-venv")
    if major_version(["node", "--version"], r"v(\d+)") < NODE_AT_LEAST:
        lacks.append(
            "Node.js %d or newer:\n    curl -fsSL https://deb.nodesource.com/setup_20.x | sudo -E bash -"
            " && sudo apt-get install nodejs" % NODE_AT_LEAST
        )
    elif not shutil.which("npm"):
        lacks.append("npm:\n    sudo apt-get install npm")
    if with_java and major_version(["java", "-version"], r'version "(\d+)') < JAVA_AT_LEAST:
        lacks.append("Java %d or newer:\n    sudo apt-get install default-jre-headless" % JAVA_AT_LEAST)
    return lacks


def digest(paths):
    """One digest of the names and contents of *paths*."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def once(title, stamp, state, commands):
    """Run *commands* unless *stamp* says that it was done for *state*."""
    if stamp.exists() and stamp.read_text() == state:
        return
    say("%s …" % title)
    began = time.time()
    for command in commands:
        subprocess.run([str(part) for part in command], cwd=str(ROOT), check=True, env=environment())
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(state)
    say("%s: done in %.0f s" % (title, time.time() - began))


def environment():
    """This process's environment without what would lead the tools elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH")}
    kept.update({"UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never"})
    return kept


def pinned_uv():
    """The version of uv that pyproject.toml names."""
    return re.search(r'"uv==([0-9.]+)"', (ROOT / "pyproject.toml").read_text()).group(1)


def python_environment():
    """``.venv`` with exactly what uv.lock names."""
    commands = []
    uv = pinned_uv()
    if not (BIN / "uv").exists() or not (BIN / "python").exists():
        commands += [
            [sys.executable, "-m", "venv", VENV],
            [BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv==" + uv],
        ]
    commands.append([BIN / "uv", "sync", "--frozen", "--python", BIN / "python"])
    once("Python packages", VENV / ".lectern", digest([ROOT / "pyproject.toml", ROOT / "uv.lock"]), commands)


def node_modules():
    """``node_modules`` with exactly what package-lock.json names."""
    state = digest([ROOT / "package.json", ROOT / "package-lock.json"])
    commands = [["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]]
    once("Node packages (a minute or two the first time)", ROOT / "node_modules" / ".lectern", state, commands)


def web_pages():
    """``web/dist``, built from ``web/``."""
    web = ROOT / "web"
    if not (web / "build.mjs").exists():
        return
    skipped = {web / "dist", web / "node_modules"}
    sources = [path for path in web.rglob("*") if path.is_file() and not skipped.intersection(path.parents)]
    state = digest([*sources, ROOT / "package-lock.json"])
    if not (web / "dist" / "index.html").exists():
        (web / "dist" / ".lectern").unlink(missing_ok=True)
    once("Web pages", web / "dist" / ".lectern", state, [["npm", "run", "--silent", "build"]])


def main():
    """Prepare the checkout; each part is made only when its lock or sources changed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--java", action="store_true", help="ask for Java too, which the emulators need")
    arguments = parser.parse_args()
    lacks = missing(arguments.java)
    if lacks:
        say("Lectern needs, on this machine:\n\n" + "\n\n".join(lacks) + "\n")
        return 1
    try:
        python_environment()
        node_modules()
        web_pages()
    except subprocess.CalledProcessError as error:
        say("This command failed with status %d:\n    %s" % (error.returncode, " ".join(error.cmd)))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
