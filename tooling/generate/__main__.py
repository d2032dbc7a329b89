"""
Makes everything that follows from the function registry; ``--check`` only says what is out of date.

Run as ``python -m tooling.generate [--check] [--tier NAME] [--secret NAME ...] [--region NAME]``; what is
committed is for the first tier, and without optional secrets.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import main
from shared.edge.registry import deployments
from tooling.generate import client, deploy_manifest, messages, monitoring, openapi, requirements, tables
from tooling.scale.tiers import TIERS, Tier, tier_named

ROOT = Path(__file__).parent.parent.parent


def generated(
    tier: Tier = TIERS[0], secrets: Sequence[str] = (), region: str = deploy_manifest.REGION
) -> dict[str, str]:
    """Every generated file's text, by its path from the root; the manifest is for *tier*, with *secrets*."""
    main.load_all()
    functions = list(deployments().values())
    return {
        "functions.yaml": deploy_manifest.render(functions, tier, secrets, region),
        ".env": deploy_manifest.environment(tier),
        "infra/monitoring.tf.json": monitoring.infrastructure(functions),
        "docs/operations.md": monitoring.table(),
        "docs/openapi.json": openapi.render(functions),
        "docs/functions.md": tables.render(functions),
        "web/client/lectern.ts": client.render(functions),
        "shared/documents/messages.py": messages.documents(),
        "shared/topics/messages.py": messages.topics(),
        "requirements.txt": requirements.render(ROOT),
    }


def run(made: Mapping[str, str], *, check: bool) -> int:
    """Write what of *made* differs, or say so; the exit status."""
    stale = []
    for name, text in made.items():
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
    parser = argparse.ArgumentParser(prog="python -m tooling.generate", description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--tier", choices=[tier.name for tier in TIERS], default=TIERS[0].name)
    parser.add_argument("--secret", action="append", choices=deploy_manifest.OPTIONAL_SECRETS, default=[])
    parser.add_argument("--region", default=deploy_manifest.REGION)
    arguments = parser.parse_args()
    sys.exit(
        run(generated(tier_named(arguments.tier), arguments.secret, arguments.region), check=arguments.check)
    )
