"""What a run is made of. Every part is the config of the layer that uses it; this file only composes them."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sleep2vec.data.pairs import PairConfig
from sleep2vec.data.splits import SplitConfig
from sleep2vec.model.checkpoint import Precision
from sleep2vec.model.encoder import MAX_TOKENS, KnownModalities, ModelConfig
from sleep2vec.tasks.adaptation import AdaptationConfig
from sleep2vec.tasks.alignment import AlignmentConfig
from sleep2vec.tasks.custom import CustomConfig
from sleep2vec.tasks.finetuning import FinetuneConfig
from sleep2vec.tasks.probing import ProbeConfig
from sleep2vec.tasks.registry import RESERVED, TaskName
from sleep2vec.tasks.survival import SurvivalConfig
from sleep2vec.training.optimizer import OptimizerConfig
from sleep2vec.training.runner import RunConfig
from sleep2vec.vocabulary.modalities import WEARABLES


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PretrainRecipe(_Strict):
    """Everything `sleep2vec pretrain` needs."""

    store: Path
    out: Annotated[Path, Field(description="folder of the run and of the model it ends in")]
    weights: Annotated[Precision, Field(description="how the model's matrices are written")] = "float32"
    model: ModelConfig = ModelConfig()
    batches: PairConfig = PairConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig
    split: SplitConfig = SplitConfig()
    probes: ProbeConfig = ProbeConfig()

    @model_validator(mode="after")
    def _two_to_align(self) -> Self:
        if len(self.model.modalities) < 2:
            raise ValueError(f"model.modalities names {', '.join(self.model.modalities)} alone; aligning needs two")
        return self


class FinetuneRecipe(_Strict):
    """Everything `sleep2vec finetune` needs."""

    tasks: Annotated[
        tuple[TaskName | Literal["survival"], ...], Field(description="learned together, in one checkpoint")
    ] = ("staging",)
    custom: Annotated[tuple[CustomConfig, ...], Field(description="tasks from columns of the metadata")] = ()
    store: Path
    out: Annotated[Path, Field(description="folder of the run and of the model it ends in")]
    pretrained: Annotated[
        Path | None, Field(description="model to start from, a folder or a name; none starts from scratch")
    ] = None
    weights: Annotated[Precision, Field(description="how the model's matrices are written")] = "float32"
    model: Annotated[ModelConfig | None, Field(description="what to build from scratch")] = None
    modalities: Annotated[
        KnownModalities | None, Field(description="of the pretrained model, only these; all of them by default")
    ] = None
    finetuning: FinetuneConfig = FinetuneConfig()
    survival: SurvivalConfig = SurvivalConfig()
    risk: Annotated[float, Field(ge=0, le=1, description="share of wrong epochs borne before the model abstains")] = 0.1
    batch_windows: Annotated[int, Field(ge=1)] = 8
    window_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = 480
    keep_features: Annotated[
        bool,
        Field(description="compute what the tokenizer does not learn once a night, for all runs, and keep it on disk"),
    ] = False
    feature_folder: Annotated[Path | None, Field(description="where features are kept; STORE/features by default")] = (
        None
    )
    labelled_nights: Annotated[int | None, Field(ge=1, description="learn from only so many training nights")] = None
    labelled_people: Annotated[int | None, Field(ge=1, description="learn from all nights of only so many people")] = (
        None
    )
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=3e-4)
    run: RunConfig
    split: SplitConfig = SplitConfig()

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if (self.pretrained is None) == (self.model is None):
            given = "neither" if self.model is None else "both"
            raise ValueError(f"name either `pretrained` (a model to start from) or `model` (from scratch), not {given}")
        return self

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if self.modalities is not None and self.model is not None:
            raise ValueError("from scratch the sensors are model.modalities; leave `modalities` out")
        return self

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.labelled_nights is not None and self.labelled_people is not None:
            raise ValueError("limit `labelled_nights` or `labelled_people`, not both")
        return self

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        learned = [name for name in self.tasks if name != "survival"]
        names = [*learned, *(config.name for config in self.custom)]
        twice = sorted(
            {name for name in names if names.count(name) > 1} | {c.name for c in self.custom if c.name in RESERVED}
        )
        if twice:
            raise ValueError(f"the name {twice[0]!r} is taken; give each of `tasks` and `custom` a name of its own")
        if not names:
            raise ValueError("survival is fitted on what other tasks teach; name one more, such as age, in `tasks`")
        unknown = sorted(set(self.finetuning.task_weights) - set(names))
        if unknown:
            known = ", ".join(names)
            raise ValueError(f"finetuning.task_weights names {unknown[0]!r}, which is none of the tasks {known}")
        return self


class Stage(_Strict):
    """One of the stages of an adaptation."""

    run: RunConfig
    optimizer: OptimizerConfig = OptimizerConfig()


class AdaptRecipe(_Strict):
    """Everything `sleep2vec adapt` needs."""

    store: Annotated[Path, Field(description="nights with the new sensors and with some of the old ones")]
    out: Annotated[Path, Field(description="folder of the run and of the model it ends in")]
    pretrained: Annotated[
        Path, Field(description="the model that learns new sensors, a folder or a name; it stays as it is")
    ]
    weights: Annotated[Precision, Field(description="how the model's matrices are written")] = "float32"
    modalities: Annotated[KnownModalities, Field(description="the new ones")] = WEARABLES
    batches: PairConfig = PairConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    adaptation: AdaptationConfig = AdaptationConfig()
    stage_1: Annotated[Stage, Field(description="the new tokenizers alone")]
    stage_2: Annotated[Stage, Field(description="everything")]
    split: SplitConfig = SplitConfig()

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.batches.pair_schedule:
            raise ValueError("batches.pair_schedule is set by adaptation.new_pairs here; leave it out")
        return self

    @model_validator(mode="after")
    def _one_device(self) -> Self:
        first, second = self.stage_1.run.device, self.stage_2.run.device
        if first != second:
            raise ValueError(
                f"both stages run on one device; stage_1.run.device is {first}, stage_2.run.device {second}"
            )
        return self
