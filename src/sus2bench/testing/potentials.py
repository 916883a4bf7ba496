"""What the contract tests do with potentials: generic parameters, predictions, comparisons."""

from collections.abc import Callable, Iterable

import ase
import torch
from torch import Tensor

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.potential import Potential, Prediction


def perturb(potential: Potential, seed: int = 0, scale: float = 0.1) -> Potential:
    """Adds normal noise to every parameter, in place: zeros and ones of a start hide mistakes.

    Args:
        potential: changed and returned.
        seed: of the noise, which is the same in every dtype up to rounding.
        scale: standard deviation of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in potential.parameters():
            noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
            parameter.add_(scale * noise.to(parameter))
    return potential


def predict(potential: Potential, *structures: ase.Atoms) -> Prediction:
    """Predicts one batch of structures with a new neighbour list."""
    frames = [build_frame(atoms, potential.cutoff) for atoms in structures]
    prediction: Prediction = potential(collate(frames))
    return prediction


def energies(potential: Potential, structures: Iterable[ase.Atoms]) -> Tensor:
    """Total energies (B,), eV."""
    frames = [build_frame(atoms, potential.cutoff) for atoms in structures]
    prediction: Prediction = potential(collate(frames), forces=False, stress=False)
    return prediction.energy


def forces(prediction: Prediction) -> Tensor:
    """The forces (N, 3), which have been asked for."""
    return _present(prediction.forces, "forces")


def stress(prediction: Prediction) -> Tensor:
    """The stresses (B, 3, 3), which have been asked for."""
    return _present(prediction.stress, "stress")


def _present(tensor: Tensor | None, name: str) -> Tensor:
    if tensor is None:
        raise AssertionError(f"the potential returned no {name}, though they were asked for")
    return tensor


def check_close(
    actual: Tensor, expected: Tensor, tolerance: float, what: str, *, relative: float = 0.0
) -> None:
    """Compares elementwise; NaN equals NaN.

    Raises:
        AssertionError: says `what` differs, where and by how much.
    """
    actual, expected = actual.detach().double(), expected.detach().double()
    if actual.shape != expected.shape:
        raise AssertionError(
            f"{what}: the shapes {tuple(actual.shape)} and {tuple(expected.shape)} differ"
        )
    agree = torch.isclose(actual, expected, rtol=relative, atol=tolerance, equal_nan=True)
    if bool(agree.all()):
        return
    difference = (actual - expected).abs().nan_to_num(nan=torch.inf).masked_fill(agree, 0.0)
    worst = int(difference.argmax())
    place = [int(index) for index in torch.unravel_index(torch.tensor(worst), actual.shape)]
    raise AssertionError(
        f"{what}: {int((~agree).sum())} of {agree.numel()} numbers differ by more than "
        f"{tolerance:g}; the worst at {place}: {float(actual.flatten()[worst])!r} instead of "
        f"{float(expected.flatten()[worst])!r}"
    )


def check_equal(actual: object, expected: object, what: str) -> None:
    """Compares two values, tensors to the bit.

    Raises:
        AssertionError: says `what` differs.
    """
    if isinstance(actual, Tensor) and isinstance(expected, Tensor):
        same = (
            actual.dtype == expected.dtype
            and actual.shape == expected.shape
            and torch.equal(actual.nan_to_num(nan=1e300), expected.nan_to_num(nan=1e300))
        )
    else:
        same = actual == expected
    if not same:
        raise AssertionError(f"{what}: {actual!r} instead of {expected!r}")


def check_raises(error: type[Exception], text: str, action: Callable[[], object]) -> None:
    """Requires an error whose message contains a text.

    Raises:
        AssertionError: nothing was raised, or the message lacks the text.
    """
    try:
        action()
    except error as raised:
        if text not in str(raised):
            raise AssertionError(f"the error does not mention {text!r}: {raised}") from raised
        return
    raise AssertionError(f"no {error.__name__} that mentions {text!r} was raised")


def same_prediction(actual: Prediction, expected: Prediction, what: str) -> None:
    """Requires two predictions to be equal to the bit."""
    for name, value, reference in zip(Prediction._fields, actual, expected, strict=True):
        check_equal(value, reference, f"{name} {what}")
