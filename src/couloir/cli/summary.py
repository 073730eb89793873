"""`couloir summary [OVERRIDES] [--memory] [--json]`: the layers of the sentence's network."""

from __future__ import annotations

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import take_switches

MEMORY = "--memory"
SWITCHES = (JSON, MEMORY)
USAGE = """usage: couloir summary [OVERRIDES] [--memory] [--json]

The layers of the network that a sentence names: name, type, output shape, parameters, multiply-adds, and the totals.
--memory: the memory of each layer instead, for one sample in training in float32, in MiB: its activations with their
gradients, and its parameters.
  couloir summary model=resnet50 data=cifar10
  couloir summary model=mlp model.hidden=[64,64] --json
  couloir summary model=vgg16 data=synthetic data.image_size=224 data.num_classes=1000 --memory"""


def main(arguments: list[str]) -> int:
    """Print the layer table of the sentence's network, without reading more of the data than its sizes."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, SWITCHES)
    with Answer.of(switches) as answer:
        from couloir.config.check import checked

        sentence = checked(words, reads_data=False)

        from couloir.artifacts.layer_table import as_dict, as_memory_table, as_table, layers_of
        from couloir.config.given import assumed_length, given_by
        from couloir.record.tested import memory_in_words

        layers, net, learning = layers_of(sentence.cfg)
        given = given_by(sentence.cfg.data)
        learns = [] if learning is None else learning.in_words(net).splitlines()
        answer.facts |= as_dict(layers, net, given) | ({"learns": learns} if learns else {})

        from rich import get_console

        get_console().print(as_memory_table(layers, net, given) if MEMORY in switches else as_table(layers, net))
        length = assumed_length(sentence.cfg.data)
        for line in [memory_in_words(answer.facts["totals"]), *([length] if length else []), *learns]:
            get_console().print(line, markup=False, highlight=False, soft_wrap=True)
    return 0
