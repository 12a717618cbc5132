"""Recipes: what is shipped can be run, and a wrong one is told all that is wrong with it, at once."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sleep2vec.recipes.loading import load_recipe, recipe_text, shipped_recipes
from sleep2vec.recipes.schema import AdaptRecipe, FinetuneRecipe, PretrainRecipe
from sleep2vec.vocabulary.errors import RecipeError

PLACES = ("store=/data/store", "out=/data/run")
ABLATIONS = (
    "conv", "infonce", "leave-one-out", "mlp", "no-displacement", "no-temporal", "reconstruction", "recurrent",
)  # fmt: skip
SHIPPED = {
    **{f"ablation-{name}": (PretrainRecipe, PLACES) for name in ABLATIONS},
    "paper-large": (PretrainRecipe, PLACES),
    "small": (PretrainRecipe, PLACES),
    "small-tasks": (FinetuneRecipe, PLACES),
    "tiny-tasks": (FinetuneRecipe, (*PLACES, "pretrained=/data/model")),
    "staging": (FinetuneRecipe, PLACES),
    "respiratory": (FinetuneRecipe, PLACES),
    "arousal": (FinetuneRecipe, PLACES),
    "desaturation": (FinetuneRecipe, PLACES),
    "age": (FinetuneRecipe, PLACES),
    "sex": (FinetuneRecipe, PLACES),
    "diagnosis": (FinetuneRecipe, PLACES),
    "survival": (FinetuneRecipe, PLACES),
    "custom-bmi": (FinetuneRecipe, PLACES),
    "staging-probe": (FinetuneRecipe, PLACES),
    "staging-lora": (FinetuneRecipe, PLACES),
    "staging-few-shot": (FinetuneRecipe, PLACES),
    "adapt-wearable": (AdaptRecipe, (*PLACES, "pretrained=/data/model")),
    "paper-base": (PretrainRecipe, PLACES),
    "tiny-demo": (PretrainRecipe, PLACES),
    "tiny-demo-staging": (FinetuneRecipe, (*PLACES, "pretrained=/data/model")),
}


def written(folder: Path, text: str) -> Path:
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    return folder / "run.yaml"


def complaint(name: str | Path, schema=PretrainRecipe, settings=PLACES) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, schema, settings)
    return str(caught.value)


def test_this_file_knows_every_shipped_recipe():
    folder = Path(__file__).parents[2] / "src" / "sleep2vec" / "recipes" / "shipped"
    assert set(shipped_recipes()) == {path.stem for path in folder.iterdir()} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_parses_and_says_what_its_file_says(name: str):
    """A plain YAML reading of the file is the judge: no setting of it may be lost or changed on the way."""
    schema, settings = SHIPPED[name]
    recipe = load_recipe(name, schema, settings).model_dump(mode="json")
    folder = Path(__file__).parents[2] / "src" / "sleep2vec" / "recipes" / "shipped"
    given = yaml.safe_load((folder / f"{name}.yaml").read_text())
    base = given.pop("extends", None)

    def agrees(wanted, found) -> bool:
        if isinstance(wanted, dict):
            return all(key in found and agrees(value, found[key]) for key, value in wanted.items())
        return found == wanted

    assert agrees(given, recipe)
    if base is not None:  # whatever the file does not name is as in the recipe that it extends
        named = {(section, key) for section, values in given.items() if isinstance(values, dict) for key in values}
        for section, values in load_recipe(base, schema, settings).model_dump(mode="json").items():
            for key, value in values.items() if isinstance(values, dict) else ():
                assert (section, key) in named or recipe[section][key] == value
    assert (recipe["store"], recipe["out"]) == ("/data/store", "/data/run")


def test_the_published_model_is_that_of_the_paper():
    """arXiv:2602.13857 as `method.md`, section 5, gives it."""
    recipe = load_recipe("paper-base", PretrainRecipe, PLACES)
    assert (recipe.model.size, recipe.model.tokenizer) == ("base", "mlp")
    assert (recipe.optimizer.learning_rate, recipe.optimizer.weight_decay) == (5e-5, 0.01)
    assert (tuple(recipe.optimizer.betas), recipe.optimizer.clip_norm) == ((0.9, 0.95), 1.0)
    assert (recipe.optimizer.warmup_share, recipe.optimizer.final_share) == (0.03, 0.1)
    assert (recipe.batches.batch_windows, recipe.batches.same_night_share) == (320, 1 / 8)
    assert (recipe.alignment.masked_share, recipe.run.ema_decay) == (0.15, 0.996)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_text_of_a_recipe_gives_the_recipe_back(tmp_path: Path, name: str):
    schema, settings = SHIPPED[name]
    recipe = load_recipe(name, schema, settings)
    assert load_recipe(written(tmp_path, recipe_text(recipe)), schema) == recipe


def test_a_recipe_says_only_what_it_changes_of_another(tmp_path: Path):
    recipe = load_recipe(written(tmp_path, "extends: paper-base\nmodel: {size: tiny}\n"), PretrainRecipe, PLACES)
    paper = load_recipe("paper-base", PretrainRecipe, PLACES)
    assert (recipe.model.size, paper.model.size) == ("tiny", "base")
    sized = paper.model_copy(update={"model": paper.model.model_copy(update={"size": "tiny"})})
    assert recipe == sized


@pytest.mark.parametrize(
    ("base", "told"),
    [("[1]", "extends [1]"), ("{path}", "extends itself"), ("tiny-dmo", "there is no recipe 'tiny-dmo'")],
)
def test_what_cannot_be_extended_is_told(tmp_path: Path, base: str, told: str):
    path = tmp_path / "run.yaml"
    assert told in complaint(written(tmp_path, f"extends: {base.format(path=path)}\n"))


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("run.seed=-1", "run.seed: "),
        ("optimizer.betas=[1.5, 2]", "optimizer.betas[0]: "),
        ("alignment.temperature=.inf", "alignment.temperature: "),
        ("alignment.same_site=.nan", "alignment.same_site: "),
        ("probes.seed=-2", "probes.seed: "),
    ],
)
def test_numbers_that_no_run_could_use_are_told_before_it_starts(setting: str, place: str):
    assert place in complaint("small", PretrainRecipe, (*PLACES, setting))


def test_two_mistakes_are_told_at_once_with_places_and_guesses(tmp_path: Path):
    text = "model: {size: tinny}\nbatches: {batch_window: 8}\nrun: {steps: 5}\n"
    assert complaint(written(tmp_path, text)).split("\n") == [
        f"recipe {tmp_path / 'run.yaml'} has 2 mistakes:",
        "  model.size: Input should be 'tiny', 'small', 'base' or 'large', got 'tinny' (did you mean 'tiny'?)",
        "  batches.batch_window: there is no such setting (did you mean 'batch_windows'?)",
    ]


def test_five_mistakes_are_told_at_once(tmp_path: Path):
    text = """
    model: {modalities: [eeg, ecgg], dropout: 1.5}
    optimiser: {learning_rate: 1}
    run: {stepps: 5}
    """
    told = complaint(written(tmp_path, text))
    assert "has 5 mistakes" in told
    assert "model.modalities: unknown modality 'ecgg' (did you mean 'ecg'?); choose from eeg, eog," in told
    assert "model.dropout: Input should be less than 1, got 1.5" in told
    assert "optimiser: there is no such setting (did you mean 'optimizer'?)" in told
    assert "run.steps: is missing; give it in the file or with --set run.steps=..." in told
    assert "run.stepps: there is no such setting (did you mean 'steps'?)" in told


def test_a_word_without_a_neighbour_lists_what_is_known(tmp_path: Path):
    told = complaint(written(tmp_path, "run: {steps: 1}\nsplit: {qqq: 1}\n"))
    assert "split.qqq: there is no such setting (known here: validation, test, seed, by, test_sites, file)" in told


def test_finetuning_starts_from_one_thing():
    neither = complaint("tiny-demo-staging", FinetuneRecipe)
    assert "name either `pretrained` (a model to start from) or `model` (from scratch), not neither" in neither
    both = complaint("tiny-demo-staging", FinetuneRecipe, (*PLACES, "pretrained=/m", "model.size=tiny"))
    assert "not both" in both


def test_a_recipe_of_another_command_says_what_does_not_belong():
    told = complaint("tiny-demo-staging", PretrainRecipe)
    assert "tasks: there is no such setting" in told
    assert "batch_windows: there is no such setting (did you mean 'batches'?)" in told


def test_settings_win_over_the_file_and_are_yaml():
    settings = (*PLACES, "run.steps=7", "model.modalities=[ibi, resp]", "optimizer.betas=[0.8, 0.9]")
    recipe = load_recipe("tiny-demo", PretrainRecipe, settings)
    assert (recipe.run.steps, recipe.model.modalities) == (7, ("ibi", "resp"))
    assert tuple(recipe.optimizer.betas) == (0.8, 0.9)
    assert recipe.model.size == "tiny"


def test_a_section_left_empty_can_be_set(tmp_path: Path):
    path = written(tmp_path, "store: a\nout: b\nrun:\n")
    assert load_recipe(path, PretrainRecipe, ["run.steps=3"]).run.steps == 3


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("run.steps", "--set 'run.steps': expected key=value, for example run.steps=100."),
        ("=5", "--set '=5': expected key=value"),
        ("store.x=5", "--set 'store.x=5': store is a value, it has no parts."),
        ("run.seed=[1", "--set 'run.seed=[1': '[1' is not a YAML value."),
        ("run.step=5", "run.step: there is no such setting (did you mean 'steps'?)"),
        ("run.steps=many", "run.steps: Input should be a valid integer"),
        ("a..b=1", "a: there is no such setting"),
    ],
)
def test_wrong_settings_have_their_sentence(setting: str, sentence: str):
    assert sentence in complaint("tiny-demo", settings=(*PLACES, setting))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("run: {steps: 5", "run.yaml is not YAML at line"),
        ("a: b: c", "run.yaml is not YAML at line 1: mapping values are not allowed here."),
        ("- 1\n- 2\n", "run.yaml holds a list, expected `key: value` lines."),
        ("", "run.yaml holds nothing, expected `key: value` lines."),
        ("just words", "run.yaml holds only words, expected `key: value` lines."),
        ("2024-13-45", "run.yaml is not YAML: month must be in 1..12."),
        ("7", "run.yaml holds a value, expected"),
        ("[" * 5000, "run.yaml is not YAML"),
        ("!!python/object/apply:os.system ['true']", "run.yaml is not YAML at line 1"),
    ],
)
def test_what_is_no_recipe_has_its_sentence(tmp_path: Path, text: str, sentence: str):
    assert sentence in complaint(written(tmp_path, text))


def test_unknown_names_and_bytes_have_their_sentence(tmp_path: Path):
    told = complaint("tiny-dmo")
    assert "there is no recipe 'tiny-dmo': it is neither a file nor one of the shipped recipes" in told
    assert all(name in told for name in SHIPPED)
    (tmp_path / "weights.yaml").write_bytes(b"\xff\xfe\x00\x01")
    assert "weights.yaml is not a text file; a recipe is a YAML file in UTF-8." in complaint(tmp_path / "weights.yaml")
    assert "there is no recipe" in complaint(tmp_path)


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*PretrainRecipe.model_fields, *FinetuneRecipe.model_fields])
FRAGMENTS = [
    "run: ",
    "steps: 3\n",
    "model: {size: ",
    "{",
    "}",
    "[",
    ": ",
    "\n",
    "- ",
    "&a ",
    "*a",
    "!!",
    "? ",
    "'",
    "#",
]
ANY_TEXT = (
    st.text()
    | st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=12).map("".join)
    | st.dictionaries(NAMES, YAML_VALUES, max_size=5).map(yaml.safe_dump)
    | st.sampled_from(["2024-13-45", "a: 0x", "a: 1:99:99", "{[1]: 2}", "<<: 3", "a: !!timestamp x", "? {a: b}\n: c"])
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=ANY_TEXT, schema=st.sampled_from([PretrainRecipe, FinetuneRecipe]))
def test_any_text_is_a_recipe_or_told_why_not(tmp_path_factory, text: str, schema):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        recipe = load_recipe(path, schema)
    except RecipeError:
        return
    assert isinstance(recipe, schema)


@settings(max_examples=150, deadline=None)
@given(setting=st.text(max_size=12) | st.tuples(NAMES, st.text(max_size=8)).map("=".join))
def test_any_setting_is_taken_or_told_why_not(setting: str):
    with suppress(RecipeError):
        load_recipe("tiny-demo", PretrainRecipe, (*PLACES, setting))
