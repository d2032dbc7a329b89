"""
Makes everything that follows from the function registry; ``--check`` only says what is out of date.

Run as ``python -m tooling.generate [--check]``.
"""

import sys
from pathlib import Path

import main
from shared.edge.registry import deployments
from tooling.generate import client, deploy_manifest, messages, openapi, requirements, tables

ROOT = Path(__file__).parent.parent.parent


def generated() -> dict[str, str]:
    """Every generated file's text, by its path from the root."""
    main.load_all()
    functions = list(deployments().values())
    return {
        "functions.yaml": deploy_manifest.render(functions),
        "docs/openapi.json": openapi.render(functions),
        "docs/functions.md": tables.render(functions),
        "web/client/lectern.ts": client.render(functions),
        "shared/documents/messages.py": messages.documents(),
        "shared/topics/messages.py": messages.topics(),
        "requirements.txt": requirements.render(ROOT),
    }


def run(*, check: bool) -> int:
    """Write what differs, or say so; the exit status."""
    stale = []
    for name, text in generated().items():
        path = ROOT / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        print(f"{name}: {'out of date; run make generate' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(run(check="--check" in sys.argv[1:]))
