"""The schema of a saliency gallery: small images, the masks that networks lay over them, and numbers by class."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from reports.scores import PlainRecord

__all__ = ["ExplanationGallery", "GalleryNetwork", "Pixels"]

Count = Annotated[int, Field(ge=0)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]


class Pixels(PlainRecord):
    """A small image: ``data`` holds rows of pixels of ``num_channels`` bytes each, 1 (grey, or a mask) or 3 (RGB)."""

    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    num_channels: Annotated[int, Field(ge=1, le=3)]
    data: bytes

    @model_validator(mode="after")
    def _data_fits(self) -> Self:
        wanted = self.width * self.height * self.num_channels
        if self.num_channels == 2 or len(self.data) != wanted:
            raise ValueError(
                f"an image of {self.width} x {self.height} pixels must have 1 or 3 channels and as many bytes, "
                f"but got {self.num_channels} and {len(self.data)}"
            )
        return self


class GalleryNetwork(PlainRecord):
    """What one slim network looks at.

    ``masks``, ``classes`` and ``similarities`` are of the images shown: its explanation, the class that it predicts,
    and how much the explanation overlaps the dense network's. ``similarity``: mean over all images measured;
    ``similarity_by_class``: likewise, None for a class without images. ``same_class``: share of images that both put in
    the same class. ``detectors_by_class``: channels kept that detect a class; empty if not counted.
    ``lost_in``: by group of channels, the classes (indices) that had detectors there and have none left.
    """

    number: Count
    masks: tuple[Pixels, ...]
    classes: tuple[Count, ...]
    similarities: tuple[UnitInterval, ...]
    similarity: UnitInterval
    similarity_by_class: tuple[UnitInterval | None, ...]
    same_class: UnitInterval
    detectors_by_class: tuple[Count, ...] = ()
    lost_in: dict[str, tuple[Count, ...]] = Field(default_factory=dict)


class ExplanationGallery(PlainRecord):
    """Explanations of validation images by the dense network and by slim ones, all drawn by one selector.

    ``explainer``: the trial whose selector it is, with ``num_basis`` bumps a mask; ``agreement``: share of images whose
    dense prediction survives its mask. ``labels``, ``dense_classes``, ``images`` and ``dense_masks`` are of the images
    shown. ``num_by_class``: images measured. ``detectors_by_class``: channels of the dense network that detect a class;
    empty if not counted. ``note``: what is left out, and why.
    """

    class_names: tuple[str, ...]
    explainer: Count
    num_basis: Annotated[int, Field(ge=1)]
    agreement: UnitInterval | None = None
    labels: tuple[Count, ...]
    dense_classes: tuple[Count, ...]
    images: tuple[Pixels, ...]
    dense_masks: tuple[Pixels, ...]
    num_by_class: tuple[Count, ...]
    detectors_by_class: tuple[Count, ...] = ()
    networks: tuple[GalleryNetwork, ...]
    note: str = ""

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        shown, classes = len(self.labels), len(self.class_names)
        parts: list[tuple[str, int, int]] = [
            ("dense_classes", len(self.dense_classes), shown),
            ("images", len(self.images), shown),
            ("dense_masks", len(self.dense_masks), shown),
            ("num_by_class", len(self.num_by_class), classes),
        ]
        for network in self.networks:
            of = f" of trial {network.number}"
            parts += [(f"{name}{of}", len(getattr(network, name)), shown) for name in ("masks", "classes")]
            parts.append((f"similarities{of}", len(network.similarities), shown))
            parts.append((f"similarity_by_class{of}", len(network.similarity_by_class), classes))
        for name, came, wanted in parts:
            if came != wanted:
                raise ValueError(f"{name} of a gallery must have {wanted} entries, but got {came}")
        return self

    @property
    def num_images(self) -> int:
        """Images that similarities are measured on."""
        return sum(self.num_by_class)
