"""Which keys of `model=convnet` go together. Nothing here imports torch."""

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
    """Every key that is typed is read by what the others ask for, and a decoder can follow the stages in reverse.

    Args:
        model: the keys of a network of the pattern; of another network nothing is said.

    Raises:
        CouloirError: one would be ignored, or the decoder cannot.
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
    if decoder != "none":
        _check_decoder(model)


def _check_decoder(model: Mapping[str, Any]) -> None:
    """Stages can be followed again in reverse, pixel by pixel.

    Raises:
        CouloirError: they cannot.
    """
    decoder, pool, padding = model["decoder"], model["pool"], model["padding"]
    kernel_size, own = model["kernel_size"], model.get("decoder_kernel_size")
    word = f"model.decoder={decoder}"
    refused = {
        f"{word} enlarges what stages have made smaller, and there is none.": (
            min(model["N"], model["M"]) < 1,
            "model.N=1 model.M=2",
        ),
        f"{word} needs convolutions that keep the size: model.padding=same.": (padding != "same", "model.padding=same"),
        f"{word} enlarges what a pooling has halved: model.pool=none halves nothing.": (
            pool == "none",
            "model.pool=max",
        ),
        f"{word} goes by the places of a maximum pooling; model.pool={pool} has none.": (
            decoder == "unpool" and pool == "average",
            "model.pool=max, or model.decoder=transposed",
        ),
        f"Kernels of {kernel_size} pixels have no middle: they move the image by half a pixel.": (
            kernel_size % 2 == 0,
            f"model.kernel_size={kernel_size + 1}",
        ),
        f"Kernels of {own} pixels have no middle: with {word} they move the image by half a pixel.": (
            decoder != "transposed" and own is not None and own % 2 == 0,
            f"model.decoder_kernel_size={(own or 0) + 1}, or model.decoder=transposed",
        ),
        f"model.activation=step passes no gradient: with {word} the last 1x1 convolution alone would learn.": (
            model.get("activation") == STEP,
            "model.activation=relu",
        ),
    }
    for fact, (there, next_step) in refused.items():
        if there:
            raise CouloirError(fact, next_step=next_step)
