"""The contract of an adapter: that of any model, and that it is the other package's model."""

import json
import subprocess
import sys
from abc import abstractmethod
from typing import ClassVar, NamedTuple

import ase
import numpy as np
import torch
from numpy.typing import NDArray

from sus2bench.models.potential import Potential
from sus2bench.testing.contract import ContractTests
from sus2bench.testing.potentials import check_close, check_equal, forces, predict
from sus2bench.testing.structures import structures

_FRESH_PROCESS = """
import json, sys
from sus2bench.atoms.frame import build_frame
from sus2bench.models.potential import Potential, model_class
from sus2bench.testing.state import process_state
from sus2bench.testing.structures import structures
target, arguments = sys.argv[1], json.loads(sys.argv[2])
before = process_state()
model = model_class(target)(**arguments)
potential = Potential(model)
potential(build_frame(structures(potential.species)["crystal"], potential.cutoff))
after = process_state()
print(json.dumps([name for name in before if before[name] != after[name]]))
"""


class Native(NamedTuple):
    """What a package's own calculator says of a structure."""

    energy: float
    """eV."""
    forces: NDArray[np.float64]
    """(N, 3) eV/Å."""


class AdapterTests(ContractTests):
    """Inherit in a class whose name begins with `Test`; define `build` and what follows.

    Attributes:
        structures_of_calculator: names of the contract's structures that the package's calculator
            takes; all of them unless it cannot do without periodicity.
    """

    structures_of_calculator: ClassVar[tuple[str, ...]] = (
        "molecule",
        "crystal",
        "skewed cell",
        "tiny cell",
    )

    @abstractmethod
    def native(self, potential: Potential, atoms: ase.Atoms) -> Native:
        """The package's own calculator on the same weights, E0 and scale, in float64."""

    @abstractmethod
    def native_parameters(self, potential: Potential) -> int:
        """The package's own count of trainable parameters (without E0)."""

    def test_own_calculator_gives_the_same_energy_and_forces(self) -> None:
        """To 1e-8 eV and eV/Å in float64: sums in another order."""
        potential = self.potential()
        for name in self.structures_of_calculator:
            atoms = structures(potential.species)[name]
            actual, native = predict(potential, atoms), self.native(potential, atoms)
            check_close(
                actual.energy,
                torch.tensor([native.energy], dtype=torch.float64),
                1e-8,
                f"energy of the {name} beside the package's calculator (eV)",
            )
            check_close(
                forces(actual),
                torch.as_tensor(native.forces),
                1e-8,
                f"forces of the {name} beside the package's calculator (eV/Å)",
            )

    def test_parameter_count_is_the_package_s_own(self) -> None:
        """Trainable numbers of the adapter, E0 apart."""
        potential = self.potential()
        trainable = sum(p.numel() for p in potential.model.parameters() if p.requires_grad)
        check_equal(trainable, self.native_parameters(potential), "trainable parameters")

    def test_first_import_leaves_the_process_as_it_was(self) -> None:
        """In a fresh process: the package is imported, the model built and evaluated."""
        model = self.potential().model
        target = f"{type(model).__module__}.{type(model).__qualname__}"
        run = subprocess.run(
            [sys.executable, "-c", _FRESH_PROCESS, target, json.dumps(model.hyperparameters())],
            capture_output=True,
            text=True,
        )
        if run.returncode:
            raise AssertionError(f"the fresh process failed: {run.stderr[-2000:]}")
        changed = json.loads(run.stdout.splitlines()[-1])
        check_equal(changed, [], "process-wide state changed by the first use")
