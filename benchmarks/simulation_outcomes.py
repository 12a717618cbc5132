"""What a night can be worth: the best AUROC and C-index that simulated people allow, with and without a shortcut.

    python benchmarks/simulation_outcomes.py [--people 20000] [--json FILE]

The baseline of the same run is age and sex alone. People come to two sites in turn; the dial makes one of them look
ill (`simulation.outcomes.site_shift`). See `simulation/oracle.py` for what the columns mean.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sleep2vec.simulation.oracle import ceilings
from sleep2vec.simulation.outcomes import draw_outcomes, site_shift
from sleep2vec.simulation.person import Person

SITES = ("one", "two")
DIALS = (0.0, 0.5, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {}
    for dial in DIALS:
        shifts = [site_shift(SITES[number % 2], SITES, dial) for number in range(options.people)]
        people = []
        for number, shift in enumerate(shifts):
            rng = np.random.default_rng([number, 11])
            people.append(draw_outcomes(rng, Person.draw(rng), shift))
        found = ceilings(people, shifts)
        results[f"{dial:g}"] = [asdict(ceiling) for ceiling in found]
        print(f"\ndial {dial:g}, {options.people} people")
        print(f"{'':<32}{'share':>7}{'age, sex':>10}{'night':>8}{'causes':>8}{'and site':>10}")
        for c in found:
            figures = f"{c.age_and_sex:>10.3f}{c.night:>8.3f}{c.best:>8.3f}{c.with_site:>10.3f}"
            print(f"{c.outcome:<32}{c.share:>7.3f}{figures}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
