"""Explanations to look at: of some validation images, by the dense and by a slim network, and how alike they are."""

from pruning_core.gallery.drawing import DenseGallery, SlimGallery, draw_dense, draw_slim
from pruning_core.gallery.settings import GallerySettings

__all__ = ["DenseGallery", "GallerySettings", "SlimGallery", "draw_dense", "draw_slim"]
