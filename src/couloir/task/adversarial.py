"""What the two players of a GAN minimise, by the discriminator's scores of real and of made images.

D is the discriminator, G the generator, p the density of the images and q that of made ones. A score s is what D says
of one image, with no sigmoid behind it; where D answers with a probability, this is sigmoid(s).

| objective | D minimises | G minimises | the best D of a fixed G |
|---|---|---|---|
| `minimax` | -log D(x) - log(1 - D(G(z))) | log(1 - D(G(z))) | p / (p + q) |
| `non_saturating` | the same | -log D(G(z)) | p / (p + q) |
| `least_squares` | (s(x) - 1)^2 / 2 + s(G(z))^2 / 2 | (s(G(z)) - 1)^2 / 2 | s = p / (p + q) |
| `wasserstein_gp` | s(G(z)) - s(x) + a penalty | -s(G(z)) | its gradient has the norm 1 between p and q |
| `hinge` | max(0, 1 - s(x)) + max(0, 1 + s(G(z))) | -s(G(z)) | s = sign(p - q) |

Goodfellow et al., 2014, Generative Adversarial Nets, equation 1, algorithm 1 and the end of section 3; Mao et al.,
2017, Least Squares Generative Adversarial Networks, equation 2 with a = 0 and b = c = 1; Gulrajani et al., 2017,
Improved Training of Wasserstein GANs, equation 3; Lim and Ye, 2017, Geometric GAN, and Miyato et al., 2018, Spectral
Normalization for Generative Adversarial Networks, equations 16 and 17.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

MINIMAX, NON_SATURATING, LEAST_SQUARES, WASSERSTEIN, HINGE = (
    "minimax", "non_saturating", "least_squares", "wasserstein_gp", "hinge",
)  # fmt: skip


def discriminator_loss(objective: str, real: Tensor, made: Tensor) -> Tensor:
    """What D minimises, a scalar; that of `wasserstein_gp` without its penalty, see `gradient_penalty`.

    Args:
        objective: one of the table's.
        real: scores of real images, (B,).
        made: scores of made images, (B,).
    """
    real, made = real.float(), made.float()
    if objective in (MINIMAX, NON_SATURATING):
        return F.softplus(-real).mean() + F.softplus(made).mean()
    if objective == LEAST_SQUARES:
        return 0.5 * (real - 1).square().mean() + 0.5 * made.square().mean()
    if objective == HINGE:
        return F.relu(1 - real).mean() + F.relu(1 + made).mean()
    return made.mean() - real.mean()


def generator_loss(objective: str, made: Tensor) -> Tensor:
    """What G minimises, a scalar.

    Args:
        objective: one of the table's.
        made: scores of made images, (B,).
    """
    made = made.float()
    if objective == MINIMAX:
        return -F.softplus(made).mean()
    if objective == NON_SATURATING:
        return F.softplus(-made).mean()
    if objective == LEAST_SQUARES:
        return 0.5 * (made - 1).square().mean()
    return -made.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor) -> Tensor:
    """How far the norm of the critic's gradient is from 1, its mean square over points between real and made images.

    The points lie on the lines between pairs, each at a place of its own that torch's generator draws. The arithmetic
    is float32 also where the network runs in fewer bits. It can be differentiated: second derivatives of the critic.
    Source: Gulrajani et al., 2017, algorithm 1, lines 4 to 7.

    Args:
        critic: images (B, ...) -> scores (B,), where the score of one image does not depend on the others.
        real: images (B, ...).
        made: as many made images, (B, ...); no gradient goes to them.
    """
    real, made = real.float(), made.detach().float()
    place = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(real, made, place).requires_grad_()
    with torch.autocast(real.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norms - 1).square().mean()


def judged(objective: str, real: Tensor, made: Tensor) -> Tensor:
    """Whether each real image is taken for real and each made one for made, (B, 2) of zeros and ones.

    An image is taken for real if its score is above that of an image that is as likely made as real: above 0, or above
    0.5 of least squares. The scores of a Wasserstein critic have no such point, since any number may be added to all of
    them. There both columns say whether the real image of a pair has a higher score than the made one, and a tie is
    one half.

    Args:
        objective: one of the table's.
        real: scores of real images, (B,).
        made: scores of made images, (B,).
    """
    if objective == WASSERSTEIN:
        right = 0.5 * (1 + torch.sign(real.detach().float() - made.detach().float()))
        return torch.stack([right, right], dim=1)
    border = 0.5 if objective == LEAST_SQUARES else 0.0
    return torch.stack([real.detach() > border, made.detach() <= border], dim=1).float()
