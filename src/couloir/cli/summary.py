"""`couloir summary [OVERRIDES] [--json]`: the layers of the sentence's network."""

from __future__ import annotations

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import take_switches

USAGE = """usage: couloir summary [OVERRIDES] [--json]

The layers of the network that a sentence names: name, type, output shape, parameters, multiply-adds, and the totals.
  couloir summary model=resnet50 data=cifar10
  couloir summary model=mlp model.hidden=[64,64] --json"""


def main(arguments: list[str]) -> int:
    """Print the layer table of the sentence's network, without reading more of the data than its sizes."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, (JSON,))
    with Answer.of(switches) as answer:
        from couloir.config.check import checked

        sentence = checked(words, reads_data=False)

        from couloir.artifacts.layer_table import as_dict, as_table, layers_of

        layers, net, learning = layers_of(sentence.cfg)
        learns = [] if learning is None else learning.in_words(net).splitlines()
        answer.facts |= as_dict(layers, net) | ({"learns": learns} if learns else {})

        from rich import get_console

        get_console().print(as_table(layers, net))
        for line in learns:
            get_console().print(line, markup=False, highlight=False, soft_wrap=True)
    return 0
