"""`python -m tests.model`: search one scope, for each set of places that liars can have in it.

Exit code 1 if a rule does not hold: the report ends with the steps that break it.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations

from tests.model.explore import EveryState, NowOrNever
from tests.model.scope import Scope


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--n", type=int, default=4, help="validators (4)")
    parser.add_argument("--views", type=int, default=2, help="views (2)")
    parser.add_argument("--heights", type=int, default=2, help="heights (2)")
    parser.add_argument("--window", type=int, default=2, help="W, heights voted on at once (2)")
    parser.add_argument("--values", type=int, default=2, help="a liar's values per height (2)")
    parser.add_argument("--liars", help="places of the liars, such as 0,1 (all that differ)")
    parser.add_argument("--minutes", type=float, default=60, help="time in all (60)")
    parser.add_argument("--crash", action="store_true", help="replicas crash and recover")
    parser.add_argument("--order", action="store_true", help="agree on the order only")
    parser.add_argument("--every", action="store_true", help="visit every state: more memory")
    parser.add_argument(
        "--continue-every", type=int, default=100, help="continue one state in so many (100)"
    )
    args = parser.parse_args()
    f = (args.n - 1) // 3
    places = (*range(args.views), args.n - 1)
    casts = list(combinations(sorted(set(places)), f))
    if args.liars:
        casts = [tuple(int(place) for place in args.liars.split(","))]
    failed = False
    for liars in casts:
        scope = Scope(
            n=args.n,
            views=args.views,
            heights=args.heights,
            window=args.window,
            byzantine=liars,
            values=(args.values,) * args.heights,
            execution=not args.order,
            crash=args.crash,
        )
        search = (EveryState if args.every else NowOrNever)(
            scope, continue_every=args.continue_every
        )
        report = search.run(60 * args.minutes / len(casts))
        sys.stdout.write(f"{report}\n")
        sys.stdout.flush()
        failed = failed or report.broken is not None
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
