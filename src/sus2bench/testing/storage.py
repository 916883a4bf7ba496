"""Contract tests of software: round trips, precision, the calculator, and what must stay alone."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.calculators.calculator import PropertyNotImplementedError

from sus2bench.atoms.frame import build_frame
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.testing.base import ContractBase
from sus2bench.testing.potentials import (
    check_close,
    check_equal,
    check_raises,
    forces,
    predict,
    same_prediction,
    stress,
)
from sus2bench.testing.state import process_state
from sus2bench.testing.structures import structures


class StorageTests(ContractBase):
    """A potential is its parameters and plain data, and leaves the process as it was."""

    def test_state_dict_round_trip_is_exact(self) -> None:
        """A potential with other parameters takes over the state and predicts the same bits."""
        for dtype in (torch.float64, torch.float32):
            potential, other = self.build(dtype).eval(), self.build(dtype).eval()
            with torch.no_grad():
                for parameter in other.parameters():
                    parameter.add_(0.5)
            other.load_state_dict(potential.state_dict())
            atoms = structures(potential.species).values()
            same_prediction(
                predict(other, *atoms), predict(potential, *atoms), "after load_state_dict"
            )

    def test_saved_file_round_trip_is_exact(self) -> None:
        """Written, read and rebuilt from its hyperparameters, it predicts the same bits."""
        with tempfile.TemporaryDirectory() as folder:
            for dtype in (torch.float64, torch.float32):
                potential = self.build(dtype).eval()
                path = Path(folder) / "potential.pt"
                save_potential(potential, path)
                loaded = load_potential(path, dtype=dtype)
                check_equal(loaded.species, potential.species, "species of a loaded potential")
                check_equal(loaded.cutoff, potential.cutoff, "cutoff of a loaded potential")
                atoms = structures(potential.species).values()
                same_prediction(
                    predict(loaded, *atoms), predict(potential, *atoms), "of a loaded potential"
                )

    def test_hyperparameters_are_plain_data(self) -> None:
        """They survive JSON, and rebuild a model with the same hyperparameters."""
        model = self.potential().model
        plain = json.loads(json.dumps(model.hyperparameters()))
        rebuilt = type(model)(**plain)
        check_equal(
            json.loads(json.dumps(rebuilt.hyperparameters())), plain, "rebuilt hyperparameters"
        )
        check_equal(
            {name: value.shape for name, value in rebuilt.state_dict().items()},
            {name: value.shape for name, value in model.state_dict().items()},
            "parameter shapes of the rebuilt model",
        )

    def test_float32_is_close_to_float64(self) -> None:
        """Energies per atom and forces, to the declared tolerances."""
        reference = self.potential()
        rounded = self.potential().to(torch.float32)
        check_equal(rounded.dtype, torch.float32, "dtype after .to(torch.float32)")
        for name, atoms in structures(reference.species).items():
            expected, actual = predict(reference, atoms), predict(rounded, atoms)
            check_equal(actual.energy.dtype, torch.float64, "dtype of the energy")
            check_close(
                actual.energy / len(atoms),
                expected.energy / len(atoms),
                self.float32_energy,
                f"float32 energy per atom of the {name} (eV)",
            )
            check_close(
                forces(actual),
                forces(expected),
                self.float32_forces,
                f"float32 forces of the {name} (eV/Å)",
            )

    def test_calculator_equals_the_module(self) -> None:
        """Energy, energies, forces and stress to 1e-12; no stress without a periodic cell."""
        potential = self.potential()
        calculator = potential.calculator()
        for name, atoms in structures(potential.species).items():
            expected = potential(build_frame(atoms, potential.cutoff))
            atoms.calc = calculator
            values: list[tuple[str, Any, torch.Tensor]] = [
                ("energy", [atoms.get_potential_energy()], expected.energy),
                ("energies", atoms.get_potential_energies(), expected.site_energies),
                ("forces", atoms.get_forces(), forces(expected)),
            ]
            if any(atoms.pbc) and atoms.cell.rank == 3:
                values.append(("stress", atoms.get_stress(voigt=False)[None], stress(expected)))
            else:
                check_raises(PropertyNotImplementedError, "stress", atoms.get_stress)
            for quantity, actual, reference in values:
                check_close(
                    torch.as_tensor(np.array(actual)),
                    reference,
                    1e-12,
                    f"calculator's {quantity} of the {name}",
                )

    def test_prediction_without_gradients_is_the_same(self) -> None:
        """Forces come out under `torch.no_grad`, twice the same bits, and without a graph."""
        potential = self.potential()
        atoms = list(structures(potential.species).values())
        expected = predict(potential, *atoms)
        with torch.no_grad():
            same_prediction(predict(potential, *atoms), expected, "under torch.no_grad")
        for name, value in zip(expected._fields, expected, strict=True):
            if isinstance(value, torch.Tensor) and value.requires_grad:
                raise AssertionError(f"{name} keeps a graph in evaluation mode")

    def test_training_and_evaluation_mode_agree(self) -> None:
        """No layer behaves differently in training, and training leads a graph to the forces."""
        potential = self.potential()
        atoms = list(structures(potential.species).values())
        expected = predict(potential, *atoms)
        trained = predict(potential.train(), *atoms)
        check_close(trained.energy, expected.energy, 1e-10, "energy in training mode (eV)")
        check_close(forces(trained), forces(expected), 1e-10, "forces in training mode (eV/Å)")
        if not forces(trained).requires_grad:
            raise AssertionError("forces cannot be differentiated in training mode")

    def test_process_wide_state_is_untouched(self) -> None:
        """Default dtype, random states, environment and threads, by building, use and loading."""
        before = process_state()
        with tempfile.TemporaryDirectory() as folder:
            for dtype in (torch.float64, torch.float32):
                potential = self.build(dtype)
                check_equal(process_state(), before, "process-wide state after building")
                atoms = structures(potential.species)["crystal"]
                predict(potential.train(), atoms).energy.sum().backward()
                check_equal(process_state(), before, "process-wide state after a prediction")
                save_potential(potential, Path(folder) / "potential.pt")
                load_potential(Path(folder) / "potential.pt")
                check_equal(process_state(), before, "process-wide state after loading")

    def test_default_dtype_does_not_change_the_model(self) -> None:
        """A program that works with another default dtype gets the same potential."""
        expected = predict(self.potential(), structures(self.potential().species)["crystal"])
        default = torch.get_default_dtype()
        other = torch.float32 if default == torch.float64 else torch.float64
        torch.set_default_dtype(other)
        try:
            potential = self.potential()
            actual = predict(potential, structures(potential.species)["crystal"])
        finally:
            torch.set_default_dtype(default)
        same_prediction(actual, expected, f"with {other} as the default dtype")
