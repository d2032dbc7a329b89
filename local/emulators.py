"""The three emulators: found on the machine, started without their vendors' launchers, awaited."""

import argparse
import asyncio
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from local.jars import Machine, Missing
from local.ports import HOST, Ports
from local.processes import ChildDied, Children, NotReady, children

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "demo-lectern"

WELL_KNOWN = {"firestore": 8081, "pubsub": 8085, "auth": 9099}
"""Firestore's own is 8080, where the page is served."""

_FIRESTORE_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"


@dataclass(frozen=True, kw_only=True)
class Emulators:
    """Where the emulators listen, as ``host:port``."""

    firestore: str
    pubsub: str
    auth: str

    def environment(self) -> dict[str, str]:
        """The variables by which Google's libraries find them."""
        return {
            "FIRESTORE_EMULATOR_HOST": self.firestore,
            "PUBSUB_EMULATOR_HOST": self.pubsub,
            "FIREBASE_AUTH_EMULATOR_HOST": self.auth,
        }


def choose_ports(ports: Ports, preferred: Mapping[str, int] | None = None) -> Emulators:
    """Where the emulators will listen: on *preferred* ports where those are free."""
    wanted = preferred or {}
    return Emulators(**{name: f"{HOST}:{ports.choose(wanted.get(name, 0))}" for name in WELL_KNOWN})


async def start(
    started: Children,
    at: Emulators,
    *,
    rules: Path | None = None,
    functions: str = "",
    project: str = PROJECT,
    heap: str = "1g",
) -> None:
    """
    Start Firestore, Pub/Sub and Auth side by side and wait until all three answer.

    *rules* hold for every project; *functions* (``host:port``) is told of written documents.
    Firestore keeps all documents in memory, in *heap* at most.

    Raises:
        Missing: something is not installed.
        ChildDied, NotReady: an emulator did not come up.
    """
    jars = Machine().jars()
    java: list[str | Path] = ["java", "-XX:+UseSerialGC", "-Duser.language=en"]

    firestore = [*java, f"-Xmx{heap}", "-cp", jars["firestore"], _FIRESTORE_MAIN]
    firestore += ["--host", HOST, "--port", _port(at.firestore)]
    if rules is not None:
        firestore += ["--rules", rules]
    if functions:
        firestore += ["--functions_emulator", functions]
    pubsub = [
        *java,
        "-Xmx512m",
        "-jar",
        jars["pubsub"],
        f"--host={HOST}",
        f"--port={_port(at.pubsub)}",
    ]
    auth: list[str | Path] = [
        "node",
        Path(__file__).with_name("auth_emulator.cjs"),
        HOST,
        _port(at.auth),
        project,
    ]

    try:
        processes = {
            at.auth: await started.start("auth", auth, env={"NO_UPDATE_NOTIFIER": "1"}),
            at.firestore: await started.start("firestore", firestore),
            at.pubsub: await started.start("pubsub", pubsub),
        }
    except FileNotFoundError as error:
        package = _PACKAGES.get(str(error.filename), str(error.filename))
        message = (
            f"{error.filename} is not on this machine. Install it with\n    sudo apt-get install {package}"
        )
        raise Missing(message) from error
    async with httpx.AsyncClient(trust_env=False) as client:
        probes = (answers(client, f"http://{address}/") for address in processes)
        await asyncio.gather(*map(started.ready, processes.values(), probes))


def _port(address: str) -> str:
    return address.rpartition(":")[2]


_PACKAGES = {"java": "default-jre-headless", "node": "nodejs"}


class answers:  # noqa: N801  reads as the sentence it is: ready(child, answers(client, url))
    """A probe: whether *url* answers with 200."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    async def __call__(self) -> bool:
        """Ask once."""
        try:
            reply = await self._client.get(self._url, timeout=10)
        except httpx.HTTPError:
            return False
        return reply.status_code == httpx.codes.OK


async def keep(state: Path, owner: int, rules: Path | None) -> None:
    """
    Run the emulators until the process *owner* ends or this one is told to stop.

    *state* receives their addresses, or the reason why there are none. If this process is killed, the folder
    that holds it goes away.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, ended.set)
    watched = os.pidfd_open(owner)
    loop.add_reader(watched, ended.set)

    at = choose_ports(Ports())
    async with children(logs=state.parent / "logs", remove=[state.parent]) as started:
        try:
            await start(started, at, rules=rules)
        except (Missing, ChildDied, NotReady) as failure:
            _publish(state, {"error": str(failure)})
            return
        _publish(state, asdict(at))
        waits = [asyncio.create_task(ended.wait()), asyncio.create_task(started.watch())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _publish(state: Path, content: Mapping[str, str]) -> None:
    fresh = state.with_suffix(".new")
    fresh.write_text(json.dumps(content))
    fresh.replace(state)


_OF_A_RUN = {"lock", "keeper.log", "keeper.pid"}
"""What whoever starts the keeper may put beside the state."""


def main() -> None:
    """Keep a set of emulators for a test run; see ``tests/emulators.py``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--owner", type=int, required=True)
    parser.add_argument("--rules", type=Path)
    arguments = parser.parse_args()
    if others := {each.name for each in arguments.state.parent.iterdir()} - _OF_A_RUN:
        parser.error(f"{arguments.state.parent} would go away with the emulators, and holds {min(others)}")
    asyncio.run(keep(arguments.state, arguments.owner, arguments.rules))


if __name__ == "__main__":
    main()
