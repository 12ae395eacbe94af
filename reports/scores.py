"""What one network scores, kept as counts: accuracies and shares are computed, never stored."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["NetworkScores", "PlainRecord", "RungScores", "TestScores"]

Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]


class PlainRecord(BaseModel):
    """Base of all records: frozen, unknown keys refused, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkScores(PlainRecord):
    """One slim network beside its dense original, on validation images.

    ``num_correct_dense``, ``num_correct_after_removal`` and ``num_correct_fine_tuned`` count the same
    ``num_images`` images; so does ``num_correct_after_reconstruction``, None where no weights were refitted between
    removal and fine-tuning. ``macs`` and ``params`` are of the slim network for one image.
    ``explanation_similarity`` is the soft overlap of dense and slim saliency masks in [0, 1], higher is better;
    ``explanation_distance`` is between their parameters, lower is better. ``mask_area`` is the mean mask of the
    dense network as a share of the image; ``selector_agreement`` the share of images whose dense prediction
    survives the mask. Latencies are milliseconds of one forward pass by a table of measured layers.
    ``activation_memory`` is in bytes, at the peak of one image's forward pass. ``block_macs`` are those of the gated
    blocks alone, by the count of Ganjdanesh et al. 2022.
    """

    num_images: PositiveCount
    num_correct_dense: Count
    num_correct_after_removal: Count
    num_correct_fine_tuned: Count
    macs: PositiveCount
    params: PositiveCount
    dense_macs: PositiveCount
    dense_params: PositiveCount
    explanation_similarity: UnitInterval | None = None
    explanation_distance: Annotated[float, Field(ge=0)] | None = None
    mask_area: UnitInterval | None = None
    selector_agreement: UnitInterval | None = None
    latency_ms: Annotated[float, Field(gt=0)] | None = None
    dense_latency_ms: Annotated[float, Field(gt=0)] | None = None
    activation_memory: PositiveCount | None = None
    dense_activation_memory: PositiveCount | None = None
    block_macs: PositiveCount | None = None
    dense_block_macs: PositiveCount | None = None
    num_correct_after_reconstruction: Count | None = None

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        for name in ("num_correct_dense", "num_correct_after_removal", "num_correct_fine_tuned"):
            _check_count(name, getattr(self, name), self.num_images)
        name = "num_correct_after_reconstruction"
        _check_count(name, getattr(self, name) or 0, self.num_images)
        return self

    @property
    def accuracy_dense(self) -> float:
        """Accuracy of the dense network, in [0, 1]."""
        return self.num_correct_dense / self.num_images

    @property
    def accuracy_after_removal(self) -> float:
        """Accuracy once the channels are gone and before any fine-tuning, in [0, 1]."""
        return self.num_correct_after_removal / self.num_images

    @property
    def accuracy_after_reconstruction(self) -> float | None:
        """Accuracy once weights are refitted and before any fine-tuning, in [0, 1]; None where they were not."""
        if self.num_correct_after_reconstruction is None:
            return None
        return self.num_correct_after_reconstruction / self.num_images

    @property
    def accuracy(self) -> float:
        """Accuracy of the fine-tuned slim network, in [0, 1]: what every choice looks at."""
        return self.num_correct_fine_tuned / self.num_images

    @property
    def accuracy_drop(self) -> float:
        """Dense accuracy minus accuracy; negative when the slim network is better."""
        return (self.num_correct_dense - self.num_correct_fine_tuned) / self.num_images

    @property
    def macs_share(self) -> float:
        """Kept share of the dense network's MACs."""
        return self.macs / self.dense_macs

    @property
    def params_share(self) -> float:
        """Kept share of the dense network's params."""
        return self.params / self.dense_params

    @property
    def latency_share(self) -> float | None:
        """Share of the dense network's latency, where both are known."""
        if self.latency_ms is None or self.dense_latency_ms is None:
            return None
        return self.latency_ms / self.dense_latency_ms

    @property
    def activation_memory_share(self) -> float | None:
        """Kept share of the dense network's activation memory, where both are known."""
        if self.activation_memory is None or self.dense_activation_memory is None:
            return None
        return self.activation_memory / self.dense_activation_memory

    def cost(self, resource: str) -> float:
        """Return what the network costs of a resource that a budget can limit: ``macs``, ``latency_ms``, ...

        Raises:
            ValueError: It was not measured.
        """
        amount: float | None = getattr(self, resource)
        if amount is None:
            raise ValueError(f"a network with a budget on {resource} must have a {resource}, but it has none")
        return amount

    def dense_cost(self, resource: str) -> float:
        """Return what the dense network costs of such a resource.

        Raises:
            ValueError: It was not measured.
        """
        return self.cost(f"dense_{resource}")


class RungScores(PlainRecord):
    """A network after ``epochs`` of its fine-tuning, where it was compared with others.

    ``order``: place of this result among all those of the study's rungs, in the order in which they came. ``seconds``:
    spent in the trial's own stages by then. ``finished_at``: unix seconds.
    """

    epochs: PositiveCount
    order: Count
    seconds: Annotated[float, Field(ge=0)]
    finished_at: float
    scores: NetworkScores


class TestScores(PlainRecord):
    """Looked at once, for a chosen network: correct counts on the test images."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    num_images: PositiveCount
    num_correct: Count
    num_correct_dense: Count

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        _check_count("num_correct", self.num_correct, self.num_images)
        _check_count("num_correct_dense", self.num_correct_dense, self.num_images)
        return self

    @property
    def accuracy(self) -> float:
        """Test accuracy of the slim network, in [0, 1]."""
        return self.num_correct / self.num_images

    @property
    def accuracy_dense(self) -> float:
        """Test accuracy of the dense network, in [0, 1]."""
        return self.num_correct_dense / self.num_images


def _check_count(name: str, count: int, num_images: int) -> None:
    if count > num_images:
        raise ValueError(f"{name} <= num_images must hold, but got {name}={count}, num_images={num_images}")
