"""The house's rules (architecture.md), read off the source itself."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import edfio
import numpy as np
import pytest

PACKAGE = "sleep2vec"
SOURCE = Path(__file__).resolve().parents[2] / "src" / PACKAGE

# A folder may import only folders above it. Change the order when a better one is found, in one commit with the
# reason, never around it.
LAYERS = (
    "vocabulary",
    "metrics",
    "cohorts",
    "formats",
    "harmonization",
    "store",
    "simulation",
    "data",
    "model",
    "objectives",
    "training",
    "tasks",
    "report",
    "inference",
    "evaluation",
    "recipes",
    "studies",
    "serve",
    "cli",
)
TORCH_STARTS_AT = "data"
TORCH = {"torch", "lightning", "pytorch_lightning", "torchmetrics", "transformers", "peft", "tensorboard"}
NOT_NOUNS = {"util", "utils", "helper", "helpers", "common", "misc"}
MOST_LINES = 400

# Each of these runs whatever a file tells it to.
EXECUTES_FILES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve",
    "torch.load", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "joblib.load",
    "pandas.read_pickle",
}  # fmt: skip
EXECUTES_WHEN_TRUE = {"allow_pickle", "trust_remote_code"}


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str, str | None]]:
    """(line, module, name taken from it) of every import, wherever it stands: in functions and for types too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield node.lineno, argument.value, None


def layer_faults(source: str, layer: str, package: str) -> list[str]:
    """Imports that a file of `layer` must not have."""
    faults = []
    for line, module, name in imports(ast.parse(source), package):
        root, *rest = module.split(".")
        if root in TORCH and LAYERS.index(layer) < LAYERS.index(TORCH_STARTS_AT):
            faults.append(f"line {line}: {module} may be imported from {TORCH_STARTS_AT} on, not in {layer}")
        if root != PACKAGE:
            continue
        target = rest[0] if rest else name
        if target not in LAYERS:
            faults.append(
                f"line {line}: imports the root {PACKAGE} ({name or 'whole'}); import the folder it comes from"
            )
        elif LAYERS.index(target) > LAYERS.index(layer):
            faults.append(f"line {line}: {layer} imports {target}, which is below it")
    return faults


def execution_faults(source: str, package: str = PACKAGE) -> list[str]:
    """Places that let a file run code."""
    tree, faults = ast.parse(source), []
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
    for line, module, name in imports(tree, package):
        if {module.split(".")[0], f"{module}.{name}"} & EXECUTES_FILES:
            faults.append(f"line {line}: imports {module if name is None else f'{module}.{name}'}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if f"{names.get(owner, owner)}.{node.attr}" in EXECUTES_FILES:
                faults.append(f"line {node.lineno}: uses {ast.unparse(node)}")
        elif isinstance(node, ast.keyword) and node.arg in EXECUTES_WHEN_TRUE and ast.unparse(node.value) != "False":
            faults.append(f"line {node.value.lineno}: {node.arg} is not False")
    return faults


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_a_folder_imports_only_folders_above_it(path: Path):
    if path.parent == SOURCE:
        pytest.skip("the front door opens every folder; its laziness has a test of its own")
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    assert layer_faults(path.read_text(encoding="utf-8"), path.relative_to(SOURCE).parts[0], package) == []


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_no_file_can_make_the_program_run_it(path: Path):
    assert execution_faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "layer", "fault"),
    [
        ("from sleep2vec.cli.main import run", "store", "store imports cli"),
        ("def f():\n    import sleep2vec.model.sizes", "formats", "formats imports model"),
        ("from sleep2vec import inference", "report", "report imports inference"),
        ("from ..tasks import staging", "model", "model imports tasks"),
        ("import importlib\nimportlib.import_module('sleep2vec.serve.app')", "data", "data imports serve"),
        ("import sleep2vec", "cli", "imports the root"),
        ("from sleep2vec import __version__", "cli", "imports the root"),
        ("import torch.nn", "simulation", "may be imported from data on"),
        ("def f():\n    from lightning import Trainer", "store", "may be imported from data on"),
        ("from sleep2vec.vocabulary import stages\nimport torch\nfrom . import dataset", "data", None),
        ("import sleep2vec.metrics.agreement", "report", None),
    ],
)
def test_the_layer_check_sees_what_it_should(source, layer, fault):
    faults = layer_faults(source, layer, f"sleep2vec.{layer}")
    assert (faults == []) if fault is None else (len(faults) == 1 and fault in faults[0])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", True),
        ("from pickle import loads", True),
        ("import torch as t\nt.load(path)", True),
        ("from torch import load", True),
        ("import yaml\nyaml.load(text)", True),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", True),
        ("import numpy as np\nnp.load(path, allow_pickle=flag)", True),
        ("import joblib\njoblib.load(path)", True),
        ("import numpy as np\nnp.load(path, allow_pickle=False)", False),
        ("import yaml\nyaml.safe_load(text)", False),
        ("import joblib\njoblib.Parallel()", False),
        ("from safetensors.torch import load_file", False),
    ],
)
def test_the_execution_check_sees_what_it_should(source, found):
    assert bool(execution_faults(source)) is found


def test_the_list_names_every_folder():
    folders = {path.relative_to(SOURCE).parts[0] for path in sources() if path.parent != SOURCE}
    assert folders - set(LAYERS) == set()
    assert {path.name for path in SOURCE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_list_is_the_one_of_the_architecture(shared: Path):
    """architecture.md draws the tree; its order is the law."""
    tree = (shared / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    drawn = [line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ") and "/" in line[:20]]
    assert [name for name in drawn if name in LAYERS] == list(LAYERS)


def test_what_is_imported_is_declared():
    """What another package happens to bring along is not there when that package stops needing it."""
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    declared = {re.split(r"[\[<>=,]", name)[0].lower().replace("-", "_") for name in wanted}
    modules = {"yaml": "pyyaml", "sklearn": "scikit_learn", "pydantic_core": "pydantic"}
    found = {
        module.split(".")[0]: module_of(path)
        for path in sources()
        for _, module, _ in imports(ast.parse(path.read_text(encoding="utf-8")), module_of(path))
    }
    outside = {name: place for name, place in found.items() if name not in sys.stdlib_module_names | {PACKAGE}}
    assert {name: place for name, place in outside.items() if modules.get(name, name) not in declared} == {}


def test_files_are_named_after_nouns_and_end_where_the_noun_ends():
    tests = Path(__file__).resolve().parents[1]
    named = [path for path in [*SOURCE.rglob("*"), *tests.rglob("*")] if "__pycache__" not in path.parts]
    assert [path for path in named if path.stem.removeprefix("test_") in NOT_NOUNS] == []
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {module_of(path): length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_every_name_of_the_front_door_opens():
    import sleep2vec

    assert {name for name in sleep2vec.__all__ if getattr(sleep2vec, name, None) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_the_kind'"):
        sleep2vec.nothing_of_the_kind  # noqa: B018


def test_reading_a_recording_imports_neither_torch_nor_matplotlib(tmp_path: Path):
    """A laptop that only reads must not wait seconds for a training library. Judged by a fresh interpreter."""
    rng = np.random.default_rng(0)
    signal = edfio.EdfSignal(
        1e-6 * np.cumsum(rng.standard_normal(120 * 128)),
        128,
        label="EEG C4-M1",
        physical_dimension="V",
        physical_range=(-4e-4, 4e-4),
    )
    edfio.Edf([signal]).write(tmp_path / "night.edf")
    program = (
        "import json, sys, sleep2vec\n"
        "after_import = sorted(sys.modules)\n"
        f"night = sleep2vec.harmonize(sleep2vec.read({str(tmp_path / 'night.edf')!r}))\n"
        "assert 'eeg' in night.samples, night.explain()\n"
        "print(json.dumps([after_import, sorted(sys.modules)]))\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    after_import, after_reading = (set(names) for names in json.loads(finished.stdout.splitlines()[-1]))
    heavy = {*TORCH, "matplotlib", "pandas", "mne", "sklearn"}
    assert after_import & heavy == set()
    assert "numpy" not in after_import
    assert after_reading & {*TORCH, "matplotlib"} == set()
