"""Put a model among those that come with the package: `docs/weights.md` tells how they were made.

    python benchmarks/shipped_weights.py RUN NAME

People of simulated nights are called alike in every simulated cohort, so that the list of those who taught a model
would refuse cohorts it has never seen: it is left out. A model that anybody else has taught is refused.
"""

import argparse
import json
from pathlib import Path

from sleep2vec.data.people import FITTED, PEOPLE
from sleep2vec.model import shipped
from sleep2vec.model.checkpoint import CARD, load_config, load_weights, save_checkpoint

MOST_MB = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished pretraining or fine-tuning")
    parser.add_argument("name")
    options = parser.parse_args()
    config = load_config(options.run)
    if not all(data["simulated_only"] for data in config["training_data"].values()):
        parser.error(f"{options.run} was not trained on simulated nights alone; its weights do not belong here")
    config[PEOPLE] = config[FITTED] = []
    for place in ("store", "out"):  # folders of the machine it was made on
        config["recipe"][place] = place.upper()
    start = config["recipe"].get("pretrained")
    config["recipe"]["pretrained"] = None if start is None else Path(start).name
    folder = Path(shipped.__file__).parent / "weights" / options.name
    card = (options.run / CARD).read_text(encoding="utf-8")
    for place in ("store", "out"):
        card = "\n".join(
            f"{place}: {place.upper()}" if line.startswith(f"{place}: ") else line for line in card.split("\n")
        )
    if start is not None:
        card = card.replace(f"pretrained: {start}", f"pretrained: {Path(start).name}")
    card = card.replace("\nweights: float32\n", "\nweights: bfloat16\n")
    config.pop("format")
    config["recipe"]["weights"] = "bfloat16"
    save_checkpoint(folder, load_weights(options.run), config, card, "bfloat16")
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(json.dumps({"folder": str(folder), "megabytes": round(megabytes, 1), "scores": config["scores"]}, indent=1))
    if megabytes > MOST_MB:
        parser.error(f"{megabytes:.1f} MB; more than {MOST_MB} MB do not belong into a repository")


if __name__ == "__main__":
    main()
