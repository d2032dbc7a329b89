"""
Play seeds of the simulation: ``python -m tests.simulation --seed 80``.

With ``--count``, so many from there on; with ``--variant``, a mutant in the product's place; with
``--log``, everything that happened.
"""

import argparse
import sys
import time

from tests.checker import Wrong
from tests.mutants import MUTANTS, SOUND
from tests.simulation.world import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--variant", choices=[SOUND.name, *MUTANTS], default=SOUND.name)
    parser.add_argument("--log", action="store_true")
    arguments = parser.parse_args()
    variant = MUTANTS.get(arguments.variant, SOUND)
    began = time.process_time()
    failed = operations = answers = 0
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        log: list[str] | None = [] if arguments.log else None
        try:
            outcome = simulate(seed, variant, log)
        except Wrong as wrong:
            failed += 1
            print("\n".join(log or ()))
            print(wrong)
            continue
        operations += outcome.operations
        answers += outcome.answers
        if arguments.log or arguments.count == 1:
            print("\n".join(log or ()))
            print(outcome)
    seconds = time.process_time() - began
    print(
        f"{arguments.count} seeds, {failed} failed, {answers} answers, {operations} operations, "
        f"{seconds:.1f} s of processor time, {arguments.count / seconds:.0f} seeds/s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
