"""Finds the emulators' jars, which no package registry carries."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

NAMES = ("firestore", "pubsub")

_PATTERNS = {
    "firestore": ("platform/cloud-firestore-emulator/*.jar", "cloud-firestore-emulator-*.jar"),
    "pubsub": (
        "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
        "pubsub-emulator-*/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
    ),
}
"""Where each jar lies below gcloud's folder, and below firebase-tools' cache."""

_COMPONENTS = {"firestore": "cloud-firestore-emulator", "pubsub": "pubsub-emulator"}
"""What gcloud calls them."""


class Missing(Exception):
    """Something must be installed first; the message names it and the command that installs it."""


@dataclass(kw_only=True)
class Machine:
    """What this machine offers to run emulators with."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cache: Path = field(default_factory=lambda: Path.home() / ".cache/firebase/emulators")

    def jar(self, name: str) -> Path:
        """
        The newest jar of the emulator *name*: ``firestore`` or ``pubsub``.

        Looked for in ``LECTERN_{NAME}_JAR``, in the gcloud SDK, in firebase-tools' cache.

        Raises:
            Missing: there is none.
        """
        variable = f"LECTERN_{name.upper()}_JAR"
        named = self.environ.get(variable)
        if named:
            if Path(named).is_file():
                return Path(named)
            message = f"{variable} names {named}, which does not exist."
            raise Missing(message)
        for folder, pattern in zip(self._folders(), _PATTERNS[name], strict=True):
            found = sorted(folder.glob(pattern), key=_version) if folder else []
            if found:
                return found[-1]
        message = (
            f"The {name} emulator is not on this machine. Install it with one of\n"
            f"    npx firebase-tools setup:emulators:{name}\n"
            f"    gcloud components install {_COMPONENTS[name]}\n"
            f"or name its jar in {variable}."
        )
        raise Missing(message)

    def jars(self) -> dict[str, Path]:
        """
        Every emulator's jar.

        Raises:
            Missing: one or more are not there; the message tells of each.
        """
        found, lacking = {}, []
        for name in NAMES:
            try:
                found[name] = self.jar(name)
            except Missing as error:
                lacking.append(str(error))
        if lacking:
            raise Missing("\n\n".join(lacking))
        return found

    def _folders(self) -> Iterator[Path | None]:
        yield self._sdk()
        yield self.cache

    def _sdk(self) -> Path | None:
        for entry in self.environ.get("PATH", "").split(os.pathsep):
            launcher = Path(entry) / "gcloud"
            if launcher.is_file():
                beside = launcher.resolve().parent.parent
                if (beside / "platform").is_dir():
                    return beside
                return _sdk_by_question(launcher)
        return None


def _sdk_by_question(launcher: Path) -> Path | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            [launcher, "info", "--format=value(installation.sdk_root)"],
            capture_output=True,
            check=True,
            text=True,
            timeout=30,
        )
        return Path(answer.stdout.strip())
    return None


def _version(jar: Path) -> tuple[int, ...]:
    digits = "".join(character if character.isdigit() else " " for character in jar.name)
    return tuple(map(int, digits.split()))


def main() -> int:
    """Print where the jars are; or what is missing, and how to install it."""
    machine = Machine()
    status = 0
    for name in NAMES:
        try:
            sys.stdout.write(f"{name}: {machine.jar(name)}\n")
        except Missing as error:
            sys.stderr.write(f"{error}\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
