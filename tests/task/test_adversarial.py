"""What the players of a GAN minimise: values by hand, the points where neither can gain, and the gradient penalty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from couloir.task.adversarial import discriminator_loss, generator_loss, gradient_penalty, judged

OBJECTIVES = ("minimax", "non_saturating", "least_squares", "wasserstein_gp", "hinge")
REAL, MADE = np.array([2.0, -0.5, 0.3]), np.array([-1.0, 0.7, 4.0])


def sigmoid(s: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-s))


BY_HAND: dict[str, tuple[float, float]] = {
    "minimax": (
        -np.log(sigmoid(REAL)).mean() - np.log(1 - sigmoid(MADE)).mean(),
        np.log(1 - sigmoid(MADE)).mean(),
    ),
    "non_saturating": (
        -np.log(sigmoid(REAL)).mean() - np.log(1 - sigmoid(MADE)).mean(),
        -np.log(sigmoid(MADE)).mean(),
    ),
    "least_squares": (((REAL - 1) ** 2).mean() / 2 + (MADE**2).mean() / 2, ((MADE - 1) ** 2).mean() / 2),
    "wasserstein_gp": (MADE.mean() - REAL.mean(), -MADE.mean()),
    "hinge": (np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + MADE).mean(), -MADE.mean()),
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_players_minimise_what_the_papers_say(objective: str) -> None:
    real, made = torch.tensor(REAL), torch.tensor(MADE)
    found = float(discriminator_loss(objective, real, made)), float(generator_loss(objective, made))
    assert found == pytest.approx(BY_HAND[objective], rel=1e-6)


@pytest.mark.parametrize("objective", ["minimax", "non_saturating"])
def test_scores_so_sure_that_a_sigmoid_rounds_to_one_have_finite_losses(objective: str) -> None:
    sure, wrong = torch.full((2,), 300.0), torch.full((2,), -300.0)
    assert float(discriminator_loss(objective, sure, wrong)) == 0
    assert float(discriminator_loss(objective, wrong, sure)) == pytest.approx(600)
    assert abs(float(generator_loss(objective, sure))) in (pytest.approx(0), pytest.approx(300))


def best_score(objective: str, p: float, q: float) -> float:
    """The score of an image with the densities p of real and q of made ones that the discriminator loses least with."""

    def loss(score: float) -> float:
        s = torch.tensor([score], dtype=torch.float64)
        zero = torch.zeros(1, dtype=torch.float64)
        both, apart = discriminator_loss(objective, s, zero), discriminator_loss(objective, zero, s)
        return float(p * both + q * apart)  # what the other kind adds is constant

    return float(minimize_scalar(loss, bounds=(-20, 20), method="bounded", options={"xatol": 1e-8}).x)


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.8, 0.1), (0.05, 0.6)])
def test_the_best_discriminator_of_a_fixed_generator_is_the_papers(p: float, q: float) -> None:
    for objective in ("minimax", "non_saturating"):
        assert sigmoid(np.array(best_score(objective, p, q))) == pytest.approx(p / (p + q), abs=1e-3)
    assert best_score("least_squares", p, q) == pytest.approx(p / (p + q), abs=1e-3)
    if p != q:
        assert best_score("hinge", p, q) == pytest.approx(np.sign(p - q), abs=1e-3)


def test_where_real_and_made_images_are_alike_the_losses_are_those_of_the_equilibrium() -> None:
    nothing = torch.zeros(4)
    for objective in ("minimax", "non_saturating"):
        assert float(discriminator_loss(objective, nothing, nothing)) == pytest.approx(np.log(4))
    assert float(discriminator_loss("least_squares", nothing + 0.5, nothing + 0.5)) == pytest.approx(0.25)
    assert float(discriminator_loss("wasserstein_gp", nothing + 3, nothing + 3)) == 0
    assert float(discriminator_loss("hinge", nothing, nothing)) == 2


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_generator_always_wants_a_higher_score_and_only_minimax_gives_up_where_it_is_low(objective: str) -> None:
    scores = torch.tensor([-6.0, 0.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(generator_loss(objective, scores), scores)
    assert bool((gradient < 0).all())
    assert (float(gradient[0]) > -0.01) == (objective == "minimax")


def test_minimax_and_non_saturating_stand_still_at_the_same_point() -> None:
    # A generator whose images all are the number t, real ones around 1, and the best linear discriminator of each t.
    def slope(objective: str, t: float) -> float:
        made = torch.tensor([t], requires_grad=True)
        score = (1 - t) * (made - (1 + t) / 2)  # the logarithm of p / q of two Gaussians of deviation 1
        (gradient,) = torch.autograd.grad(generator_loss(objective, score), made)
        return float(gradient)

    for objective in ("minimax", "non_saturating"):
        assert slope(objective, 1.0) == 0
        assert slope(objective, 0.5) < 0 < slope(objective, 1.5)


def test_the_penalty_of_a_linear_critic_is_by_the_norm_of_its_weights() -> None:
    weights = torch.tensor([[3.0, 4.0]], requires_grad=True)
    penalty = gradient_penalty(lambda x: (x @ weights.T)[:, 0], torch.randn(5, 2), torch.randn(5, 2))
    assert float(penalty.detach()) == pytest.approx((5 - 1) ** 2)
    (gradient,) = torch.autograd.grad(penalty, weights)
    np.testing.assert_allclose(gradient.numpy(), [[2 * 4 * 3 / 5, 2 * 4 * 4 / 5]], rtol=1e-5)


def test_the_penaltys_gradient_agrees_with_finite_differences_where_the_critic_is_curved() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    real, made = torch.randn(6, 3), torch.randn(6, 3)

    def penalty() -> Tensor:
        torch.manual_seed(1)  # the same points
        return gradient_penalty(lambda x: critic(x.double())[:, 0], real, made)

    weight = critic[0].weight
    (gradient,) = torch.autograd.grad(penalty(), weight)
    with torch.no_grad():
        for place in ((0, 0), (3, 2)):
            values = []
            for step in (1e-3, -1e-3):
                weight[place] += step
                with torch.enable_grad():
                    values.append(float(penalty().detach()))
                weight[place] -= step
            assert float(gradient[place]) == pytest.approx((values[0] - values[1]) / 2e-3, rel=2e-3, abs=1e-5)


def test_the_penalty_looks_between_real_and_made_images_at_places_of_their_own() -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(dim=1)

    made = torch.ones(50, 1, 2, 2, requires_grad=True)
    gradient_penalty(critic, torch.zeros(50, 1, 2, 2), made)
    places = seen[0].flatten(1)
    assert bool((places == places[:, :1]).all()), "one place for all pixels of a pair"
    assert 0 <= float(places.min()) < 0.1
    assert 0.9 < float(places.max()) <= 1
    assert len(places[:, 0].unique()) == 50


@pytest.mark.parametrize(
    ("objective", "real", "made"),
    [
        ("non_saturating", [True, False, True], [True, False, False]),
        ("least_squares", [True, False, False], [True, False, False]),
        ("wasserstein_gp", [True, False, False], [True, False, False]),
    ],
)
def test_the_accuracies_go_by_the_border_of_the_objective(objective: str, real: list[bool], made: list[bool]) -> None:
    found = judged(objective, torch.tensor(REAL), torch.tensor(MADE))
    assert found[:, 0].tolist() == [float(each) for each in real]
    assert found[:, 1].tolist() == [float(each) for each in made]


def test_a_critic_that_cannot_tell_its_pairs_apart_is_right_in_half_of_them() -> None:
    assert judged("wasserstein_gp", torch.ones(3), torch.ones(3)).mean() == 0.5
