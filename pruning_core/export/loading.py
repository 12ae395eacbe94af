"""How to load each exported file, as lines of Python that run in the export's folder; a test runs them all."""

from __future__ import annotations

INPUT_LINES = """\
import json, numpy as np
about, example = json.load(open("preprocessing.json")), np.load("example.npz")
pixels = example["pixels"]  # your images: uint8, N x channels x height x width
mean, std = (np.float32(about[name]).reshape(1, -1, 1, 1) for name in ("mean", "std"))
images = ((pixels / np.float32(255) - mean) / std).astype(np.float32)
"""
"""What comes before any of the others: ``images`` from ``pixels``; needs numpy alone."""

_ONNX_LINES = """\
import onnxruntime
session = onnxruntime.InferenceSession("{file}")
logits = session.run(["logits"], {{"images": images}})[0]
print([about["class_names"][label] for label in logits.argmax(1)])
print("off by", abs(logits - example["logits"]).max(), "of", abs(example["logits"]).max())
"""

LOADING_LINES: dict[str, str] = {
    "onnx": _ONNX_LINES.format(file="network.onnx"),
    "pt2": """\
import torch
network = torch.export.load("network.pt2").module()
logits = network(torch.from_numpy(images)).numpy(force=True)
print([about["class_names"][label] for label in logits.argmax(1)])
print("off by", abs(logits - example["logits"]).max(), "of", abs(example["logits"]).max())
""",
    "safetensors": """\
import pathlib, torch, pruning_core.export  # of prunefront
network = pruning_core.export.rebuild_network(pathlib.Path())  # an nn.Module: can be trained on
logits = network(torch.from_numpy(images)).numpy(force=True)
print([about["class_names"][label] for label in logits.argmax(1)])
print("off by", abs(logits - example["logits"]).max(), "of", abs(example["logits"]).max())
""",
    "int8": _ONNX_LINES.format(file="network-int8.onnx"),
}
"""By exporter, and ``int8``."""
