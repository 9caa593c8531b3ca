"""Compute the prices of the ledger of harm, with their intervals: python benchmarks/calibrate_prices.py --out FILE

See `metarl_envs.boxes.study.harm.calibrate`. Shipped is what it writes by default (20,000 boxes of each population, about five
minutes): `metarl_envs/boxes/study/harm_prices.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from metarl_envs.boxes.study.harm import BOXES, FORMAT, SEED, calibrate
from metarl_envs.files import written_aside


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--boxes", type=int, default=BOXES, help="boxes of each population")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first box")
    parser.add_argument("--out", type=Path, help="write the table here [default: print it]")
    args = parser.parse_args()
    row = calibrate("HazardBox", boxes=args.boxes, seed=args.seed, progress=tell)
    text = f'{{"format": "{FORMAT}", "rows": [\n{json.dumps(row)}\n]}}\n'
    if args.out is None:
        print(text, end="")
        return
    with written_aside(args.out) as [aside]:
        aside.write_text(text)


def tell(what: str, done: int, of: int) -> None:
    print(f"{done} of {of} {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
