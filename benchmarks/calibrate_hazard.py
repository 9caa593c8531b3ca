"""Search for the harm and the regeneration that make HazardBox a dilemma: python benchmarks/calibrate_hazard.py

It is a model in NumPy that is asked (`metarl_envs.boxes.scenarios.schelling`). The rule: health grows back just fast enough
that from nothing it would be full once in a box (the least regeneration of the grid with regeneration * horizon >= health);
and harm is the least of the grid at which forcing pays oneself whatever others do, one who forces costs each of the others at
least twice what a dilemma asks for (so that chance does not undo it), and all together at least half. A preset is searched for
with its own horizon, trees and agents. Some minutes.
"""

from __future__ import annotations

import argparse

from metarl_envs.boxes.scenarios.hazard import HazardBox
from metarl_envs.boxes.scenarios.schelling import COST_OF_ONE

HARMS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8)
REGENERATIONS = (0.01, 0.02, 0.05, 0.1, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--boxes", type=int, default=60, help="trees that each pair is averaged over")
    parser.add_argument("--seed", type=int, default=1, help="of trees and luck")
    parser.add_argument("--preset", default="full", choices=("full", "short", "small"), help="which box")
    args = parser.parse_args()
    p = HazardBox.with_params(preset=args.preset).p
    regeneration = next(r for r in REGENERATIONS if r * p.horizon >= p.health)
    chosen = None
    print("harm  regeneration  cost of one  cost of all  temptation at least")
    for harm in HARMS:
        for r in REGENERATIONS:
            found = HazardBox.schelling(args.boxes, args.seed, preset=args.preset, harm=harm, regeneration=r)
            mark = ""
            if r == regeneration and chosen is None and found.is_dilemma and found.cost_of_one >= 2 * COST_OF_ONE:
                chosen, mark = found, "  <- chosen"
            costs = f"{found.cost_of_one:11.0%}  {found.cost_of_all:11.0%}  {found.temptation.min():19.2f}"
            print(f"{harm:4.2f}  {r:12.2f}  {costs}{mark}", flush=True)
    print(f"\n{chosen or 'No pair of the grid is a dilemma with a margin.'}")


if __name__ == "__main__":
    main()
