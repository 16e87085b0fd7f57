"""Models of other programs."""
from __future__ import annotations

import os
from ctypes import POINTER, byref, c_char_p, cast, pointer
from typing import Literal, Union

from . import _library as c
from ._arguments import integer, text
from ._listen import Listener, Overrides, overrides_of


def export(run: str | os.PathLike[str], folder: str | os.PathLike[str], *, to: Literal["diffusers"] = "diffusers",
           raw: bool = False, overwrite: bool = False, overrides: Overrides = None) -> None:
    """Writes the model of a run or a checkpoint into a folder that diffusers loads with from_pretrained().

    raw: the raw weights, not their first average. overwrite: the folder may exist. overrides: another sampler than the
    experiment's, {"sampler.use": "ddim"}. InvalidArgument says what the format cannot express."""
    listener = Listener()
    texts, n = overrides_of(overrides)
    options = c.ExportOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), raw=raw, overwrite=overwrite,
                              callbacks=pointer(listener.struct))
    listener.call(c.library().dm_export, text("run", run, path=True), text("to", to),
                  text("folder", folder, path=True), byref(options))


def convert(source: str | os.PathLike[str], to: str | os.PathLike[str], *,
            size: Union[int, tuple[int, int], None] = None, qkv: Literal["legacy", "new"] = "legacy",
            overwrite: bool = False, overrides: Overrides = None) -> None:
    """Reads a UNet of improved-diffusion or guided-diffusion from a safetensors file and writes it as a checkpoint.

    size: of its images, one side or (height, width); without it the model can predict but not be sampled. qkv: "new"
    for a model trained with use_new_attention_order. overwrite: the file may exist. overrides: what the tensors do not
    tell, {"network.heads": 4, "schedule.use": "cosine"}."""
    if qkv not in ("legacy", "new"):
        raise ValueError(f"qkv is 'legacy' or 'new', not {qkv!r}")
    listener = Listener()
    texts, n = overrides_of(overrides)
    if isinstance(size, tuple):
        height, width = (integer(f"size[{i}]", side) for i, side in enumerate(size))
    else:
        height = width = integer("size", size or 0)
    options = c.ConvertOptions(n_overrides=n, overrides=cast(texts, POINTER(c_char_p)), height=height, width=width,
                               by_part=qkv == "new", overwrite=overwrite, callbacks=pointer(listener.struct))
    listener.call(c.library().dm_convert, text("source", source, path=True), text("to", to, path=True),
                  byref(options))
