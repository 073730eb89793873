"""Which keys of `model=convnet` are read, given the others. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from couloir.config.slopes import STEP
from couloir.errors import CouloirError

TARGET = "couloir.model.convnet.convnet"
USUAL = {
    "decoder_kernel_size": None, "upsample_mode": None, "connection": "shared", "bias": True, "padding_mode": "zeros",
    "pool_size": None, "pool_stride": None, "global_pool": "none",
}  # fmt: skip
"""Keys that some networks of the pattern do not read, and what they are without effect."""


def check_pattern(model: Mapping[str, Any]) -> None:
    """Every key that is typed is read by what the others ask for, and something learns.

    Args:
        model: the keys of a network of the pattern; of another network nothing is said.

    Raises:
        CouloirError: one would be ignored, or nearly nothing learns.
    """
    if model.get("_target_", TARGET) != TARGET:
        return
    decoder, pool = model.get("decoder", "none"), model.get("pool")
    decodes = "model.decoder is none", "model.decoder=transposed", decoder == "none"
    enlarges = f"model.decoder is {decoder}", "model.decoder=upsample", decoder != "upsample"
    pools = "model.pool is none", "model.pool=max", pool == "none"
    none_there = 0 in (model.get("N"), model.get("M"))
    convolves = "there is no convolution (model.N or model.M is 0)", "model.N=1 model.M=1", none_there
    pads = "model.padding is 0", "model.padding=same", model.get("padding") == 0
    whole = f"model.decoder={decoder} has its own way with maps", "model.decoder=none", decoder != "none"
    read_where = {
        "decoder_kernel_size": (decodes,), "upsample_mode": (enlarges,), "pool_size": (pools, whole),
        "pool_stride": (pools, whole), "connection": (convolves, whole), "bias": (convolves, whole),
        "padding_mode": (convolves, pads, whole), "global_pool": (whole,),
    }  # fmt: skip
    for key, usual in USUAL.items():
        value = model.get(key, usual)
        if value == usual:
            continue
        for fact, other, ignored in read_where[key]:
            if ignored:
                word = str(value).lower() if isinstance(value, bool) else value
                raise CouloirError(
                    f"model.{key}={word} would be ignored: {fact}.", next_step=f"{other}, or leave model.{key} out"
                )
    if decoder != "none" and model.get("activation") == STEP:
        raise CouloirError(
            f"model.activation=step passes no gradient: with model.decoder={decoder} the last 1x1 convolution alone "
            "would learn.",
            next_step="model.activation=relu",
        )
