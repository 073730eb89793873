"""`couloir summary [OVERRIDES] [--json]`: the layers of the sentence's network."""

from __future__ import annotations

USAGE = """usage: couloir summary [OVERRIDES] [--json]

The layers of the network that a sentence names: name, type, output shape, parameters, multiply-adds, and the totals.
  couloir summary model=resnet50 data=cifar10
  couloir summary model=mlp model.hidden=[64,64] --json"""


def main(arguments: list[str]) -> int:
    """Print the layer table of the sentence's network, without reading more of the data than its sizes."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    from couloir.config.check import checked

    as_json = "--json" in arguments
    sentence = checked([item for item in arguments if item != "--json"])

    from couloir.inspect.summary import print_summary

    print_summary(sentence.cfg, as_json=as_json)
    return 0
