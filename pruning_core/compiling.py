"""Compiling what is trained with ``torch.compile``: how a network is run, not what it computes, but for rounding.

Like devices and threads, the compiler is in no stage key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from pruning_core.errors import InvalidSettingsError


def check_compiler(compiler: str | None) -> None:
    """Refuse what ``torch.compile`` does not know as a backend.

    Raises:
        InvalidSettingsError: It knows no such backend.
    """
    if compiler is None:
        return
    known = torch.compiler.list_backends(exclude_tags=())
    if compiler not in known:
        raise InvalidSettingsError(
            f"the compiler must be a backend of torch.compile ({', '.join(known)}), but got {compiler!r}"
        )


@contextmanager
def compiled(network: nn.Module, compiler: str | None) -> Iterator[nn.Module]:
    """Give the module to call in place of ``network``, whose weights it shares, for batches of one size.

    Compiled code is forgotten at the end: torch keeps it for a few networks only, and then silently compiles no more.

    Args:
        network: In the mode it will be called in.
        compiler: A backend of ``torch.compile``, such as ``inductor`` or ``cudagraphs``; None: the network as it is.
    """
    if compiler is None:
        yield network
        return
    check_compiler(compiler)
    try:
        yield cast(nn.Module, torch.compile(network, backend=compiler, dynamic=False))
    finally:
        torch.compiler.reset()
