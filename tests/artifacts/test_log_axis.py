"""Which values a picture shows on a logarithmic axis."""

from couloir.artifacts.log_axis import wants_log


def test_a_loss_that_touches_zero_leaves_all_others_readable() -> None:
    assert wants_log([2.0, 1e-9]), "a network that learns all by heart"
    assert not wants_log([120.0, 35.0, 1e-30]), "a player whose opponent gave up for an epoch"
    assert not wants_log([120.0, 35.0, 0.0])
    assert not wants_log([-1.0, -2.0])
    assert not wants_log([])
