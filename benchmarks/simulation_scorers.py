"""How simulated scorers agree with each other and with the truth, beside five human scorers of real nights.

    python benchmarks/simulation_scorers.py [--nights 60] [--json FILE] [--fit]

The baseline of the same run are scorers whose errors are coin flips: each epoch is drawn from the square root of the
human matrix of one scorer given another, which gives the human agreement and none of its runs. `--fit` prints the
tables `_LOOKS_HEALTHY` and `_LOOKS_APNEA` of `simulation/scorer.py`: they are moved until the simulated scorer, given
the truth, errs like a power of the human matrix, and the power until the kappa of two scorers is that of humans. Nights
that are measured are others than those that were fitted.
Needs `scorer_disagreement.json` of the facts folder (`S2V_SHARED`, default ``../shared``).
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.linalg import fractional_matrix_power
from sklearn.metrics import cohen_kappa_score

from sleep2vec.simulation.expression import express
from sleep2vec.simulation.hypnogram import draw_hypnogram
from sleep2vec.simulation.person import Person
from sleep2vec.simulation.scorer import judge, looks_to

COHORTS = {"healthy_DODH": (2.0, 35.0), "apnea_DODO": (20.0, 45.0)}
Nights = list[tuple[np.ndarray, np.ndarray, Person]]


def nights_of(apnea_per_hour: float, age_years: float, n: int, from_seed: int) -> Nights:
    nights = []
    for seed in range(from_seed, from_seed + n):
        rng = np.random.default_rng([seed, 5])
        age = float(np.clip(rng.normal(age_years, 9), 18, 70))
        person = replace(Person.draw(rng), age_years=age, apnea_per_hour=apnea_per_hour)
        true_L = draw_hypnogram(rng, person, 960)
        nights.append((true_L, express(rng, true_L), person))
    return nights


def coin_flips(rng: np.random.Generator, given_55: np.ndarray, true_L: np.ndarray) -> np.ndarray:
    return (rng.random(len(true_L))[:, None] > np.cumsum(given_55, axis=1)[true_L]).sum(axis=1).clip(0, 4)


def conditional(rows: list[np.ndarray], columns: list[np.ndarray]) -> np.ndarray:
    counts = np.zeros((5, 5))
    np.add.at(counts, (np.concatenate(rows), np.concatenate(columns)), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def described(true: list[np.ndarray], first: list[np.ndarray], second: list[np.ndarray], human_55: np.ndarray) -> dict:
    differ = [a != b for a, b in zip(first, second, strict=True)]
    near, far = [], []
    for true_L, d in zip(true, differ, strict=True):
        changes = np.flatnonzero(np.diff(true_L)) + 0.5
        distance = np.abs(np.arange(len(d))[:, None] - changes).min(axis=1)
        near.append(d[distance < 1])
        far.append(d[distance > 3])
    pair_55 = conditional(first + second, second + first)
    return {
        "kappa of two scorers": np.mean([cohen_kappa_score(a, b) for a, b in zip(first, second, strict=True)]),
        "kappa to the truth": np.mean([cohen_kappa_score(a, b) for a, b in zip(true, first, strict=True)]),
        "furthest from the human matrix, W N2 N3 R": np.abs(pair_55 - human_55)[[0, 2, 3, 4]].max(),
        "furthest from the human matrix, N1": np.abs(pair_55 - human_55)[1].max(),
        "share of epochs in dispute": np.concatenate(differ).mean(),
        "the same, after an epoch in dispute": np.concatenate([d[1:][d[:-1]] for d in differ]).mean(),
        "the same, beside a change of stage": np.concatenate(near).mean(),
        "the same, two minutes or more from one": np.concatenate(far).mean(),
        "changes of stage an hour, true": np.mean([(np.diff(x) != 0).sum() / 8 for x in true]),
        "changes of stage an hour, scored": np.mean([(np.diff(x) != 0).sum() / 8 for x in first]),
    }


def fit(nights: Nights, human_55: np.ndarray, wanted_kappa: float, rounds: int = 40) -> np.ndarray:
    power, looks_55 = 0.6, None
    true = [true_L for true_L, _, _ in nights]
    kept = []
    for turn in range(rounds):
        goal_55 = np.clip(fractional_matrix_power(human_55, power).real, 1e-3, None)
        goal_55 /= goal_55.sum(axis=1, keepdims=True)
        looks_55 = np.log(goal_55) if looks_55 is None else looks_55
        first, second = (
            [judge(np.random.default_rng([turn, i, s]), looks_55, t, m) for i, (t, m, _) in enumerate(nights)]
            for s in (1, 2)
        )
        erred_55 = np.clip(conditional(true + true, first + second), 3e-4, None)
        looks_55 = looks_55 + 0.5 * (np.log(goal_55) - np.log(erred_55))
        looks_55 -= looks_55.max(axis=1, keepdims=True)
        kappa = np.mean([cohen_kappa_score(a, b) for a, b in zip(first, second, strict=True)])
        if turn > 5:
            power = float(np.clip(power * (1 + 0.8 * (kappa - wanted_kappa)), 0.3, 1.0))
        if turn >= rounds - 8:
            kept.append(looks_55)
    return np.mean(kept, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    shared = Path(os.environ.get("S2V_SHARED", "../shared"))
    facts = json.loads((shared / "facts" / "scorer_disagreement.json").read_text())
    results = {}
    for name, (apnea_per_hour, age_years) in COHORTS.items():
        human_55 = np.array(facts[name]["p_other_scorer_given_scorer"])
        wanted = facts[name]["mean_pairwise_kappa"]
        nights = nights_of(apnea_per_hour, age_years, options.nights, from_seed=0 if options.fit else 1000)
        if options.fit:
            print(name, np.array2string(fit(nights, human_55, wanted), precision=3, separator=", "), sep="\n")
            continue
        true = [true_L for true_L, _, _ in nights]
        pair = [
            [judge(np.random.default_rng([i, s]), looks_to(p), t, m) for i, (t, m, p) in enumerate(nights)]
            for s in (1, 2)
        ]
        root_55 = fractional_matrix_power(human_55, 0.5).real
        flips = [[coin_flips(np.random.default_rng([i, s]), root_55, t) for i, t in enumerate(true)] for s in (1, 2)]
        results[name] = {
            "human kappa": wanted,
            "simulated": described(true, *pair, human_55),
            "coin flips": described(true, *flips, human_55),
        }
        print(f"\n{name}: {options.nights} nights, kappa of two human scorers {wanted:.3f}")
        print(f"{'':<46}{'simulated':>11}{'coin flips':>12}")
        for row in results[name]["simulated"]:
            print(f"{row:<46}{results[name]['simulated'][row]:>11.3f}{results[name]['coin flips'][row]:>12.3f}")
    if options.json and not options.fit:
        options.json.write_text(json.dumps(results, indent=1, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
