"""What is proposed can be typed: every remedy goes with the sentence of the run that it is proposed for."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

import couloir
from couloir.diagnosis.finding import TITLES
from couloir.diagnosis.reading import Reading
from couloir.diagnosis.remedies import remedies
from couloir.diagnosis.words import changed, sentence

SENTENCES = [
    "",
    "data=cifar10 model=resnet20 scheduler=one_cycle scheduler.max_lr=0.1 optimizer=sgd data.subset=500",
    "model=mlp model.hidden=[32,32,32,32,32] model.activation=sigmoid initializer=normal scheduler=step",
]
MORE = [
    "data=polynomial model.degree=2 scheduler=plateau",
    "experiment=digits_lenet5 model.dropout=0.5",
    "data=spirals model=linear optimizer=sgd optimizer.lr=0.5 optimizer.weight_decay=0.3 data.val_fraction=0.01",
    "data=moons optimizer=momentum optimizer.momentum=0.99 data.subset=100",
    "data=line optimizer.lr=0.001",
    "data=polynomial model=mlp loss=mae optimizer=sdlm",
    "data=cifar10 augmentation=flip_crop augmentation.padding=2 optimizer=nesterov scheduler=warmup_cosine",
    "data=cifar10 model=wide_resnet optimizer=momentum momentum_schedule=linear",
    "data=cifar10 model=convnet optimizer=adamw optimizer.scale_lr=linear optimizer.lr=0.01",
    "data=cifar10 model=densenet_cifar scheduler=piecewise",
    "data=circles model=perceptron optimizer=rmsprop scheduler=exponential scheduler.gamma=0.9",
    "data=mnist model=lenet5_1998 loss=lenet_map optimizer=sdlm",
    "data=synthetic model=vgg_like data.image_size=32 initializer=zeros optimizer=adagrad",
    "data=synthetic model=mobilenet_v2 data.image_size=64 averaging=ema trainer.gradient_clip_val=2.0",
    "data=digits model=mlp model.batch_norm=true data.val_fraction=0.4 initializer=constant initializer.value=0.2",
    "overfit=10 data=digits",
    "trainer=overfit data=cifar10 model=resnet9",
    "data=cifar10 model=googlenet data.image_size=224 trainer.max_epochs=3",
    "experiment=mnist_lenet5",
    "experiment=toy_mlp",
    "data=digits loss=bce_with_logits optimizer=sgd",
    "data=digits model=highway model.dropout=0.1 callbacks.early_stopping.patience=3",
]


def proposed_for(words: list[str]) -> dict[str, set[str]]:
    """Words -> the cases that they are proposed for."""
    cfg = OmegaConf.create(OmegaConf.to_container(couloir.compose(words).cfg, resolve=True))
    assert isinstance(cfg, DictConfig)
    reading = Reading("run", [], cfg, tuple(words))
    proposed: dict[str, set[str]] = {}
    for case in TITLES:
        for remedy in remedies(case, reading):
            proposed.setdefault(remedy.words, set()).add(case)
    return proposed


def check(words: list[str]) -> None:
    proposed = proposed_for(words)
    assert len(proposed) >= 8
    for remedy, of in proposed.items():
        try:
            couloir.compose(changed(words, remedy))
        except couloir.CouloirError as error:
            pytest.fail(f"{of}: {remedy} does not go with {' '.join(words)}: {error}")


@pytest.mark.parametrize(
    "words", [SENTENCES[0], *(pytest.param(words, marks=pytest.mark.slow) for words in SENTENCES[1:])]
)
def test_remedies_compose_with_the_words_of_their_run(words: str) -> None:
    check(words.split())


@pytest.mark.slow
@pytest.mark.parametrize("words", MORE)
def test_remedies_compose_with_rarer_sentences(words: str) -> None:
    check(words.split())


def test_a_network_without_hidden_layers_is_given_some_and_not_made_wider() -> None:
    proposed = proposed_for(["data=line", "model=mlp", "model.hidden=[]", "model.shortcut=linear"])
    assert "model.hidden=[]" not in proposed
    assert "underfitting" in proposed["model.hidden=[64]"]


def test_every_case_has_a_remedy_for_the_default_sentence() -> None:
    assert set().union(*proposed_for([]).values()) == set(TITLES)


def test_the_rate_is_lowered_by_the_key_that_it_was_set_with() -> None:
    slow = ["optimizer=momentum"]
    assert "scheduler.max_lr=0.005" in proposed_for([*slow, "scheduler=one_cycle", "scheduler.max_lr=0.05"])
    assert "optimizer.lr=0.005" in proposed_for([*slow, "optimizer.lr=0.05"])
    scaled = proposed_for([*slow, "optimizer.scale_lr=linear", "optimizer.lr=0.05", "data.batch_size=512"])
    assert "optimizer.lr=0.005" in scaled, "the rate that was typed, not the one that was used"


def test_what_learns_is_widened_or_narrowed_where_the_network_began_with_weights(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.touch()
    words = ["data=digits", "model=lenet5", f"model.weights={file}", "optimizer.lr=0.00001"]
    whole, head = proposed_for(words), proposed_for([*words, "finetune=head"])
    assert "overfitting" in whole["finetune=head"]
    assert "optimizer.lr=0.0001" in whole, "a twentieth of what is usual from scratch"
    assert "underfitting" in head["finetune=head_then_all"]
    assert "optimizer.lr=0.002" in head, "a new head takes the usual rate"
    assert not any(word.startswith(("model.width", "model.hidden")) for word in [*whole, *head])
    assert "finetune=head_then_all" not in proposed_for([*words, "finetune=head", "finetune.head=f6"])
    check([*words, "finetune=head"])


def numbers(cfg: DictConfig, remedy: str) -> dict[str, tuple[float, float]]:
    """The numeric keys that a remedy changes: before and after."""
    found = {}
    for key, _, text in (word.partition("=") for word in remedy.split(" ")):
        own = OmegaConf.select(cfg, key)
        if isinstance(own, float | int) and text.replace(".", "").replace("e-", "").isdigit():
            found[key] = (float(own), float(text))
    return found


@pytest.mark.parametrize("words", SENTENCES)
def test_no_case_proposes_a_change_and_its_opposite(words: str) -> None:
    cfg = OmegaConf.create(OmegaConf.to_container(couloir.compose(words.split()).cfg, resolve=True))
    assert isinstance(cfg, DictConfig)
    for case in TITLES:
        ways: dict[str, set[bool]] = {}
        for remedy in remedies(case, Reading("run", [], cfg, tuple(words.split()))):
            for key, (before, after) in numbers(cfg, remedy.words).items():
                ways.setdefault(key, set()).add(after > before)
        assert all(len(up) == 1 for up in ways.values()), f"{case}: {ways}"


FAILED = ["rate_too_large", "dead_units", "exploding_gradients", "underfitting", "vanishing_gradients"]


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        ("optimizer.lr=1", "optimizer.lr=0.002"),
        ("data=moons optimizer=momentum optimizer.momentum=0.99", "optimizer.momentum=0.9"),
        ("optimizer=momentum optimizer.momentum=0.99 optimizer.lr=0.2", "optimizer.momentum=0.9 optimizer.lr=0.02"),
    ],
)
def test_a_rate_far_above_the_usual_one_is_the_cause_whatever_the_symptom(words: str, rate: str) -> None:
    cfg = OmegaConf.create(OmegaConf.to_container(couloir.compose(words.split()).cfg, resolve=True))
    assert isinstance(cfg, DictConfig)
    reading = Reading("run", [], cfg, tuple(words.split()))
    for case in FAILED:
        proposed = [remedy.words for remedy in remedies(case, reading)]
        raised = [one for one in proposed for before, after in numbers(cfg, one).values() if after > before]
        assert not [one for one in raised if "lr=" in one], f"{case}: what failed is not raised"
        if case in ("rate_too_large", "dead_units", "underfitting"):
            assert proposed[0] == rate, case


def test_a_rate_far_below_the_usual_one_is_raised_before_anything_else() -> None:
    words = ["data=moons", "optimizer=sgd", "optimizer.lr=0.0003"]
    cfg = OmegaConf.create(OmegaConf.to_container(couloir.compose(words).cfg, resolve=True))
    assert isinstance(cfg, DictConfig)
    for case in ("underfitting", "halted_early"):
        assert remedies(case, Reading("run", [], cfg, tuple(words)))[0].words == "optimizer.lr=0.1"


def test_another_choice_takes_the_place_of_the_keys_of_the_old_one() -> None:
    words = ["model=mlp", "initializer=normal", "initializer.std=0.8", "optimizer.lr=0.01"]
    assert changed([*words, "hydra.run.dir=here"], "initializer=he_normal") == changed(words, "initializer=he_normal")
    assert changed(words, "initializer=he_normal") == ["model=mlp", "optimizer.lr=0.01", "initializer=he_normal"]
    cfg = OmegaConf.create(OmegaConf.to_container(couloir.compose(words).cfg, resolve=True))
    assert isinstance(cfg, DictConfig)
    first = remedies("exploding_gradients", Reading("run", [], cfg, tuple(words)))[0]
    assert first.typed == "initializer=he_normal without initializer.std=0.8"


def test_a_remedy_takes_the_place_of_the_words_that_it_changes() -> None:
    words = ["data=moons", "optimizer=sgd", "optimizer.lr=0.5", "model.hidden=[64, 64]"]
    typed = sentence(words, "optimizer=adam optimizer.lr=0.001")
    assert typed == "train data=moons 'model.hidden=[64, 64]' optimizer=adam optimizer.lr=0.001"
