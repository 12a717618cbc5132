"""What a fine-tuning may start from."""

from pathlib import Path

import pytest
from untrained_models import SEEN, untrained_model

from sleep2vec.recipes.finetuning import _made_of, _start
from sleep2vec.recipes.loading import load_recipe
from sleep2vec.recipes.schema import FinetuneRecipe
from sleep2vec.tasks.staging import Staging
from sleep2vec.vocabulary.errors import ModelError


def test_a_model_that_was_never_pretrained_is_refused_and_a_pretrained_one_is_taken(tmp_path: Path):
    def start(folder: Path):
        settings = ("store=s", "out=o", f"pretrained={folder}")
        recipe = load_recipe("tiny-demo-staging", FinetuneRecipe, settings)
        return _start(_made_of(recipe, folder, {"staging": Staging()}), folder)

    scratch = untrained_model(tmp_path / "scratch", ("ibi",))
    with pytest.raises(
        ModelError, match=r"scratch was never pretrained; name a folder that `sleep2vec pretrain` wrote"
    ):
        start(scratch)
    module, history = start(untrained_model(tmp_path / "aligned", ("ibi",), training_data={"pretraining": SEEN}))
    assert (module.modalities, history) == (("ibi",), {"pretraining": SEEN})


@pytest.mark.parametrize("where", ["model.mix_layers", "finetuning.mix_layers"])
def test_layers_are_mixed_wherever_a_recipe_says_so(where: str):
    settings = ("store=s", "out=o", "model={size: tiny}", f"{where}=true")
    recipe = load_recipe("tiny-demo-staging", FinetuneRecipe, settings)
    assert _made_of(recipe, None, {"staging": Staging()}).encoder.mix_layers
