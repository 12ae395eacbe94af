"""What a finished pruning run found out, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """Scores and costs of one slim network. Accuracies are counts of correct validation images.

    ``explanation_distance`` (0 is best) and ``explanation_similarity`` (soft intersection over union, 1 is best)
    compare the slim network's explanations with the dense one's on validation images; None for methods without
    explanations. ``kept``: per group (kept, dense) channels. ``stage_seconds``: what each stage cost when it ran,
    also if this run found it finished (``cached_stages``). ``limits``: largest amounts allowed, by resource, latency in
    milliseconds as everywhere here. ``stage_peak_memory_mb``, ``stage_peak_gpu_memory_mb``: largest resident size of
    the process and largest allocation on the GPU while each stage ran (``PeakMemory``), where known;
    ``peak_memory_mb``: largest resident size of the stages that ran here. Activation memory (bytes), latency and block
    MACs are None without a budget of them.
    """

    trial_key: str
    num_images: int
    num_correct_dense: int
    num_correct_after_removal: int
    num_correct_fine_tuned: int
    macs: int
    params: int
    dense_macs: int
    dense_params: int
    limits: Mapping[str, int | float]
    kept: Mapping[str, tuple[int, int]]
    explanation_distance: float | None
    explanation_similarity: float | None
    selector_agreement: float | None
    mask_area: float | None
    stage_seconds: Mapping[str, float]
    cached_stages: tuple[str, ...]
    artifact_keys: Mapping[str, str]
    peak_memory_mb: float
    stage_peak_memory_mb: Mapping[str, float]
    stage_peak_gpu_memory_mb: Mapping[str, float]
    activation_memory: int | None = None
    dense_activation_memory: int | None = None
    latency_ms: float | None = None
    dense_latency_ms: float | None = None
    block_macs: int | None = None
    dense_block_macs: int | None = None

    @property
    def accuracy(self) -> float:
        """Validation accuracy of the fine-tuned network, in [0, 1]."""
        return self.num_correct_fine_tuned / self.num_images

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        plain = asdict(self)
        plain["kept"] = {name: list(pair) for name, pair in self.kept.items()}
        plain["cached_stages"] = list(self.cached_stages)
        return plain
