"""Settings of one pruning run, complete: architecture, data, budgets, method, fine-tuning, seed.

A search space is a set of ranges over the dotted names of these fields (``saliency.num_basis``), so there is no
second type. Frozen; unknown keys are refused with the known ones. This file loads no torch.

References:
    [Ganjdanesh2022] A. Ganjdanesh, S. Gao, H. Huang. Interpretations Steered Network Pruning via Amortized
        Inferred Saliency Maps. ECCV 2022.
    [Guo2024] Y. Guo, J. Gao, X. Li. Interpretable Task-inspired Adaptive Filter Pruning for Neural Networks
        Under Multiple Constraints. IJCV 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pruning_core.budget_settings import BudgetsConfig
from pruning_core.budgets import Budget
from pruning_core.errors import InvalidSettingsError
from pruning_core.method_names import MethodName
from pruning_core.setting_types import (
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Precision,
    Settings,
    UnitInterval,
    describe_problem,
)
from pruning_core.training_settings import DistillationConfig, TrainingConfig

__all__ = [
    "ArchitectureConfig",
    "BudgetsConfig",
    "ChannelsConfig",
    "DatasetConfig",
    "DistillationConfig",
    "GatesConfig",
    "ImportanceConfig",
    "LossWeightsConfig",
    "MethodName",
    "PredictorConfig",
    "PruningConfig",
    "RecoveryConfig",
    "SaliencyConfig",
    "SelectorConfig",
    "Settings",
    "TrainingConfig",
    "describe_problem",
    "load_config",
]


class ArchitectureConfig(Settings):
    """Which network, and where its dense weights come from.

    ``name``: a key of ``ARCHITECTURES``, ``torchvision:NAME``, ``timm:NAME`` or a user's ``module:function`` (called
    with ``num_classes`` and ``in_channels``). ``weights``: torchvision's enum member such as ``IMAGENET1K_V1``.
    ``checkpoint``: a file of weights (.safetensors, or .pt read with ``weights_only``). With neither, the dense
    network is trained first, once. ``shortcut``: of CIFAR ResNets, ``projection`` (1x1 convolution) or
    ``zero_pad`` (option A: subsampled identity, channels padded with zeros). ``width``: multiplies every width
    of the networks that allow it (CIFAR ResNets, mobilenet_v2).
    """

    name: str = "cifar_resnet8"
    weights: str | None = None
    checkpoint: str | None = None
    shortcut: Literal["projection", "zero_pad"] = "projection"
    width: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> Self:
        if self.weights is not None and self.checkpoint is not None:
            raise ValueError("only one of weights and checkpoint may be set")
        return self


class DatasetConfig(Settings):
    """Which images, and how they are split.

    ``name``: a key of ``DATASETS`` or a user's ``module:function``. ``root``: folder that torchvision's sets live
    in, or the image folder, or the .npz file. ``train_images`` / ``test_images``: use a stratified subset of this
    many (null: all). ``validation_share``: share of the training images held out for every choice
    (null: 0.1, or 0.25 for digits). ``test_share``: held out when the set has no test split. ``image_size``: side in
    pixels that images are resized to (null: as they are; all must then be equal). ``augmentation``: ``auto``
    is ``crop`` for digits and ``crop_flip`` elsewhere.
    """

    name: str = "digits"
    root: str | None = None
    train_images: PositiveInt | None = None
    test_images: PositiveInt | None = None
    validation_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    image_size: PositiveInt | None = None
    augmentation: Literal["auto", "none", "crop", "crop_flip"] = "auto"
    split_seed: int = 0


class ChannelsConfig(Settings):
    """Which channels may go.

    ``scope``: ``inner`` leaves every channel group that an addition of layers couples (the residual stream) dense;
    ``all`` prunes it too. ``round_to``: kept counts are multiples of it (``auto``: 8 for groups of 64 and
    wider, 4 from 32, 2 from 16, else 1). ``min_channels``: no group keeps fewer.
    """

    scope: Literal["inner", "all"] = "inner"
    round_to: Literal["auto"] | PositiveInt = "auto"
    min_channels: PositiveInt = 1


class PredictorConfig(Settings):
    """Training of the network that classifies masked images as the dense network classifies whole ones.

    ``mask_temperature``: of the relaxed Bernoulli pixels; best equal to the selector's (0.1 in [Ganjdanesh2022], whose
    selector then shows the predictor masks it has never seen). ``hard_masks``: 0/1 pixels, for a selector that draws
    such ones. ``warm_start``: begin from the
    dense weights (the paper's ImageNet setting) instead of from scratch (its CIFAR setting).
    """

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 1e-4
    mask_temperature: PositiveFloat = 0.5
    hard_masks: bool = False
    warm_start: bool = True


class SelectorConfig(Settings):
    """Training of the decoder that predicts a saliency mask from the frozen dense network's features.

    ``area_weight``, ``area_power``: lambda_1 and kappa of the mean-area term; ``smoothness_weight``: lambda_2.
    ``mask_temperature``: of the relaxed Bernoulli pixels (1.0 in the paper). ``hard_masks``: straight-through
    0/1 pixels. ``decoder_share``: largest share of the backbone's MACs that the decoder may cost.
    """

    epochs: PositiveInt = 5
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-2
    weight_decay: NonNegativeFloat = 1e-4
    area_weight: NonNegativeFloat = 2.0
    area_power: PositiveFloat = 0.3
    smoothness_weight: NonNegativeFloat = 1e-3
    mask_temperature: PositiveFloat = 0.5
    hard_masks: bool = False
    decoder_share: Annotated[float, Field(gt=0, le=1)] = 0.25


class SaliencyConfig(Settings):
    """RBF saliency masks and the two networks that learn to draw them.

    ``num_basis``: K Gaussian bumps per mask, joined by noisy-OR; 1 is the paper. ``max_num_basis``: the predictor
    sees masks of up to this many, so one predictor serves every ``num_basis`` of a search. ``anisotropic``: bumps may
    be stretched and tilted; round is the paper. Lengths are shares of the image side: ``centre_margin`` keeps centres
    that far inside; ``width_range`` is what the predictor samples widths from; ``initial_width`` is the selector's
    width at the start of its training for K = 1 (divided by sqrt(K)). ``taps``: names of modules whose outputs the
    decoder reads (empty: the last map of each size). ``seed``: of both networks.
    """

    num_basis: PositiveInt = 1
    max_num_basis: PositiveInt = 4
    anisotropic: bool = False
    centre_margin: Annotated[float, Field(ge=0, lt=0.5)] = 1 / 16
    width_range: tuple[PositiveFloat, PositiveFloat] = (2 / 32, 12 / 32)
    initial_width: PositiveFloat = 10 / 32
    taps: tuple[str, ...] = ()
    predictor: PredictorConfig = PredictorConfig()
    selector: SelectorConfig = SelectorConfig()
    seed: int = 0

    @model_validator(mode="after")
    def _family_covers_the_selector(self) -> Self:
        if self.num_basis > self.max_num_basis:
            raise ValueError(
                f"num_basis <= max_num_basis must hold, but got num_basis={self.num_basis}, "
                f"max_num_basis={self.max_num_basis}"
            )
        if self.width_range[0] > self.width_range[1]:
            raise ValueError(f"width_range must be (low, high) with low <= high, but got {self.width_range}")
        return self


class GatesConfig(Settings):
    """Learning the channel gates, with the network's weights or on the dense network as it is.

    Attributes:
        source: ``free`` logits, or the paper's GRU ``hypernetwork``.
        prior: A scoring method whose importance and allocation gates start from (the hybrid), instead of all alike. All
            are shifted alike to the cost of the warm-up, so they open as allocated at once if ``budget_warmup`` is 0.
        widths: What the gates settle: the ``learned`` widths of groups and their channels, or only which channels stay
            inside the widths ``allocated`` by the prior's scores.
        prior_sharpness: How far a prior's gates differ within a group: slope of the logit over the log of the score.
        noise: ``logistic`` (binary concrete, P(open) = sigmoid(logit + base)) or ``gumbel`` (the paper's one-sided
            noise, P(open) = 1 - exp(-exp(logit + base))).
        base: Added to every logit, so that gates start open.
        temperature: Of soft gates; falls log-linearly to ``final_temperature``.
        final_temperature: Reached at the last step.
        hard_forward: 0/1 gates with straight-through gradients in training.
        num_images: Size of the stratified set of training images, used without augmentation (null: all).
        steps: Updates of the gates.
        batch_size: Images per update.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW, on the logits.
        budget_term: ``exact`` shifts all logits by one number so that the budget holds in every step; ``one_sided`` is
            zero below the budget (the paper); ``two_sided`` pulls back; ``lagrangian`` has a multiplier
            per budget.
        budget_warmup: Share of the steps in which the cost falls from the dense network's to the budget (``exact``).
        dual_rate: How far a multiplier's integral moves per step and unit of log excess (``lagrangian``).
        dual_damping: What is added to the integral per unit of log excess (``lagrangian``).
        dual_restarts: A multiplier's integral falls back to 0 as soon as its budget is met (``lagrangian``).
        budget_widths: The cost in a loss term is that of the ``expected`` widths, or of an independent ``sampled`` 0/1
            draw (the paper's; gumbel noise needs it, because its open probability is flat at the start).
        task_loss: Cross-entropy with the label, distillation from the dense network, or ``mixed``, half of each with
            outputs softened at temperature 2, as in fine-tuning by default.
        steer_by: What the steering term holds to the dense network's: its ``explanations`` (the method), or, as
            ablations, its tapped ``features`` or its ``outputs``.
        targets: ``dense`` keeps each image's own explanation; ablations are ``shuffled``, another image's, and
            ``constant``, the mean of all.
        network_weights: Trained along with the gates, on augmented images (``joint``), or ``frozen`` while they learn
            (the paper).
        weight_learning_rate: Of SGD on the weights (``joint``).
        distance: Between ``raw`` outputs of the selector (the paper's) or ``normalised`` mask parameters; ``relative``
            divides the latter by its mean between different images, so that 1 is as wrong as another image's
            explanation and the weight means the same on every data set.
    """

    source: Literal["free", "hypernetwork"] = "free"
    prior: MethodName | None = None
    widths: Literal["learned", "allocated"] = "learned"
    prior_sharpness: PositiveFloat = 2.0
    noise: Literal["logistic", "gumbel"] = "logistic"
    base: float = 3.0
    temperature: PositiveFloat = 0.4
    final_temperature: PositiveFloat = 0.4
    hard_forward: bool = False
    num_images: PositiveInt | None = 2500
    steps: PositiveInt = 300
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 0.1
    weight_decay: NonNegativeFloat = 1e-3
    budget_term: Literal["exact", "one_sided", "two_sided", "lagrangian"] = "exact"
    budget_warmup: UnitInterval = 0.5
    dual_rate: NonNegativeFloat = 0.02
    dual_damping: NonNegativeFloat = 5.0
    dual_restarts: bool = False
    budget_widths: Literal["expected", "sampled"] = "expected"
    task_loss: Literal["cross_entropy", "distillation", "mixed"] = "cross_entropy"
    steer_by: Literal["explanations", "features", "outputs"] = "explanations"
    targets: Literal["dense", "shuffled", "constant"] = "dense"
    network_weights: Literal["frozen", "joint"] = "joint"
    weight_learning_rate: PositiveFloat = 0.02
    distance: Literal["relative", "normalised", "raw"] = "relative"

    @model_validator(mode="after")
    def _prior_scores_channels(self) -> Self:
        if self.prior is MethodName.INTERPRETATION_STEERED:
            raise ValueError("prior must be a method that scores channels, but got interpretation_steered")
        if self.widths == "allocated" and (self.prior is None or self.budget_term != "exact"):
            raise ValueError(
                "widths 'allocated' needs a prior to allocate by and budget_term 'exact', but got "
                f"prior={self.prior}, budget_term={self.budget_term}"
            )
        return self


class LossWeightsConfig(Settings):
    """Weights of the terms that train the gates: task + steering + budget.

    ``budget`` counts only where the budget is a loss term; ``gates.budget_term: exact`` has none.
    """

    task: NonNegativeFloat = 1.0
    steering: NonNegativeFloat = 1.0
    budget: NonNegativeFloat = 4.0


class ImportanceConfig(Settings):
    """Filter importance, and how budgets are divided between groups by it.

    Attributes:
        allocation: ``uniform`` keeps the same share of every group; ``global`` keeps what lies above one threshold for
            all groups; ``sensitivity`` loses least by the loss that each group's removal costs; ``task_loss`` lets the
            gated network's own loss move the shares; ``cost`` keeps larger shares where channels are cheap; ``auto``
            is what the method's source does (``DEFAULT_ALLOCATIONS``). Gate learning needs none.
        num_images: Size of the stratified calibration set of training images.
        task_relevance: How a response goes with the class: ``cka`` (linear, sees where in the image), ``eta_squared``
            (share of variance between classes), ``hsic`` (Gaussian kernel) or ``mutual_information`` (few classes
            only); ``cka_outputs`` asks the same of the dense network's logits, no label needed (keys of
            ``TASK_RELEVANCES``); ``attribution`` is what it adds to the class's logit.
        flow: What reaches the next layers through a channel: ``leverage`` (and not through the others), ``energy``
            (regardless of the others) or ``block_leverage`` (and cannot be made up for by refitting the next
            layers); the keys of ``FLOWS``.
        grid_size: Side P of the P x P grid that responses are pooled to for ``cka`` and ``hsic``.
        task_weight: w in score = task**w * flow**(1 - w).
        num_positions: Pixels sampled per layer for the information flow.
        greedy: Remove channels one by one, updating the flow.
        stem_residual: The first convolution keeps so many channels that at most this share of the variance of all
            its responses is left unexplained by them, where the budgets allow it.
    """

    allocation: Literal["auto", "uniform", "global", "sensitivity", "task_loss", "cost"] = "auto"
    num_images: PositiveInt = 2048
    task_relevance: Literal[
        "cka", "cka_outputs", "eta_squared", "hsic", "mutual_information", "attribution"
    ] = "cka"
    flow: Literal["leverage", "energy", "block_leverage"] = "leverage"
    grid_size: PositiveInt = 4
    task_weight: UnitInterval = 0.5
    num_positions: PositiveInt = 4096
    greedy: bool = True
    stem_residual: Annotated[float, Field(ge=0, lt=1)] = 0.01


class RecoveryConfig(Settings):
    """Between removal and fine-tuning.

    ``reconstruct``: refit the weights that read removed channels by least squares, so that the layers' outputs on
    ``num_images`` training images stay close to the dense ones.
    """

    reconstruct: bool = False
    num_images: PositiveInt = 512


class PruningConfig(Settings):
    """One pruning run, completely. ``seed`` moves gates and fine-tuning; the dense network, the split and the
    saliency networks have seeds of their own, so that runs which differ in ``seed`` alone still share them.
    ``latency_table``: file that ``prunefront latency`` wrote; ``budgets.latency_ms`` needs it.
    ``precision``: of passes that train something; ``auto`` is ``bfloat16`` where the device multiplies it natively.
    Evaluations are in ``float32``.
    """

    architecture: ArchitectureConfig = ArchitectureConfig()
    dataset: DatasetConfig = DatasetConfig()
    dense_training: TrainingConfig = TrainingConfig()
    dense_seed: int = 0
    method: MethodName = MethodName.INTERPRETATION_STEERED
    channels: ChannelsConfig = ChannelsConfig()
    budgets: BudgetsConfig = BudgetsConfig(macs=Budget(share=0.5))
    latency_table: str | None = None
    saliency: SaliencyConfig = SaliencyConfig()
    gates: GatesConfig = GatesConfig()
    loss_weights: LossWeightsConfig = LossWeightsConfig()
    importance: ImportanceConfig = ImportanceConfig()
    recovery: RecoveryConfig = RecoveryConfig()
    fine_tuning: TrainingConfig = TrainingConfig(
        epochs=10, learning_rate=0.05, distillation=DistillationConfig(weight=0.5)
    )
    precision: Precision = "auto"
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _sections_start_from_their_defaults(cls, values: Any) -> Any:
        """Let ``fine_tuning: {epochs: 3}`` change the epochs alone: the rest stays the default of *this* section."""
        given = values.get("fine_tuning") if isinstance(values, Mapping) else None
        if not isinstance(given, Mapping):
            return values
        default: dict[str, Any] = cls.model_fields["fine_tuning"].default.model_dump()
        merged = {**default, **given}
        if isinstance(given.get("distillation"), Mapping):
            merged["distillation"] = {**default["distillation"], **given["distillation"]}
        return {**values, "fine_tuning": merged}


def load_config(values: Mapping[str, Any]) -> PruningConfig:
    """Build a configuration from plain values.

    Raises:
        InvalidSettingsError: One line for the first problem: the dotted key, what came, what is allowed.
    """
    try:
        return PruningConfig.model_validate(values)
    except ValidationError as error:
        raise InvalidSettingsError(describe_problem(PruningConfig, error)) from None
