"""`python -m tests.mutants.seeds N FIRST LAST`: drawn runs of N validators, until one goes wrong.

Exits with 1 and names the seed. A violation, a run that is stuck and an error all count: without a
mutant there are none in these seeds.
"""

from __future__ import annotations

import sys

from tests.simulation.scenario import scenario


def main() -> int:
    n, first, last = map(int, sys.argv[1:])
    for seed in range(first, last + 1):
        try:
            scenario(seed, n)
        except Exception as error:
            reason = (str(error).splitlines() or [repr(error)])[0]
            sys.stdout.write(f"FAILED seed-{seed}-of-{n} {reason}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
