"""Range checks: values out of range, infinity and NaN are refused with a message that names the key."""

import pytest

from gan_lab.gans.latents import LatentPrior
from gan_lab.optim.ema import Averaging
from gan_lab.ranges import require_at_least, require_positive
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.penalties import R1, LeCam

NAN, INF = float("nan"), float("inf")


def test_values_in_range_pass() -> None:
    require_at_least("a", 0, 0)
    require_positive("a", 1e-30)


@pytest.mark.parametrize("value", [-1.0, NAN, INF, -INF])
def test_values_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"^a.b={value} is not allowed: it must be at least 0"):
        require_at_least("a.b", value, 0)
    with pytest.raises(ValueError, match=f"^a.b={value} is not allowed: it must be greater than 0, or null for c"):
        require_positive("a.b", value, or_null="c")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LatentPrior(-1), "latent.dim=-1 .* at least 0"),
        (lambda: LatentPrior(2, "uniform", NAN), "latent.bound=nan .* greater than 0"),
        (lambda: Averaging(half_life_images=INF), "averaging.half_life_images=inf .* at least 0 and finite"),
        (lambda: Averaging(rampup=0.0), "averaging.rampup=0.0 .* or null for no limit"),
        (lambda: Averaging(start_images=-1), "averaging.start_images=-1 .* at least 0"),
        (lambda: R1(weight=NAN), "weight=nan .* at least 0"),
        (lambda: LeCam(interval=0), "interval=0 .* at least 1"),
        (lambda: WeightClip(-0.1), "limit=-0.1 .* greater than 0"),
    ],
)
def test_constructors_check_their_ranges(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
