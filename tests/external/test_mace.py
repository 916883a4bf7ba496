"""MACE as a model of ours: the contract, mace's own calculator, its files, a short training."""

import importlib.util
from functools import partial

import ase
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from ase.build import bulk
from emt_data import EMTData

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.external.isolation import MissingExtraError, isolated
from sus2bench.models.external.mace import MACE
from sus2bench.models.external.mace_file import LoadedMACE, mace_to_file, recognises
from sus2bench.models.loading import PotentialFileError, load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.models.zbl import ZBL
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests, Native
from sus2bench.testing.potentials import predict
from sus2bench.testing.structures import structures
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule

installed = importlib.util.find_spec("mace") is not None
needs_mace = pytest.mark.skipif(
    not installed, reason="mace-torch is not installed: nox -s external-mace"
)
SPECIES = ("Cu", "Au", "Al")
ENERGIES = {"Cu": -3.5, "Au": -3.25, "Al": -3.75}
SIZES = {
    "hidden_irreps": "4x0e+4x1o",
    "max_ell": 2,
    "correlation": 2,
    "radial_MLP": [8],
    "MLP_irreps": "4x0e",
}


def small_potential(dtype=torch.float64, **settings):
    model = MACE(SPECIES, 4.0, **{**SIZES, **settings})
    model.set_avg_num_neighbors(11.7)
    return perturb(Potential(model, ENERGIES, energy_scale=1.3).to(dtype))


def own_calculator(path, **settings):
    """mace's calculator on a file; it needs the file to be unpickled as a module."""
    with isolated():
        from mace.calculators import MACECalculator

        model = torch.load(path, weights_only=False)
        return MACECalculator(models=model, default_dtype="float64", **settings)


def native(calculator, atoms):
    atoms = atoms.copy()
    atoms.calc = calculator
    with isolated():
        return Native(atoms.get_potential_energy(), atoms.get_forces())


def check_native(potential, calculator):
    """To 1e-8 eV and eV/Å: sums in another order."""
    for name in AdapterTests.structures_of_calculator:
        atoms = structures(potential.species)[name]
        expected, actual = native(calculator, atoms), predict(potential, atoms)
        assert float(actual.energy) == pytest.approx(expected.energy, abs=1e-8)
        np.testing.assert_allclose(actual.forces, expected.forces, rtol=0, atol=1e-8)


@pytest.mark.skipif(installed, reason="mace-torch is installed")
def test_without_the_package_the_model_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"pip install 'sus2bench\[mace\]'"):
        MACE(["Cu"])


@pytest.mark.skipif(installed, reason="mace-torch is installed")
def test_without_the_package_its_files_say_what_to_install(tmp_path):
    path = tmp_path / "a.model"
    path.write_bytes(b"of an older torch")
    with pytest.raises(MissingExtraError, match=r"pip install 'sus2bench\[mace\]'"):
        load_potential(path)


def test_only_files_named_as_mace_names_them_are_unpickled(tmp_path):
    content = {"a": b"mace.modules"}
    torch.save(content, tmp_path / "a.pt")
    torch.save(content, tmp_path / "20231203-model")
    torch.save({"a": 1}, tmp_path / "other-model")
    (tmp_path / "notes-model").write_text("mace.modules")
    assert recognises(tmp_path / "20231203-model")
    assert not any(recognises(tmp_path / name) for name in ("a.pt", "other-model", "notes-model"))


@needs_mace
class TestMACE(AdapterTests):
    def build(self, dtype):
        return small_potential(dtype)

    def native(self, potential, atoms):
        if not hasattr(self, "calculator"):
            path = self.folder / "a.model"
            mace_to_file(potential, path)
            self.calculator = own_calculator(path)
        return native(self.calculator, atoms)

    def native_parameters(self, potential):
        from mace.tools import count_parameters

        return count_parameters(potential.model.network)

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path


VARIANTS = {
    "foundation": {
        "interaction": "RealAgnosticDensityResidualInteractionBlock",
        "interaction_first": "RealAgnosticDensityInteractionBlock",
        "distance_transform": "Agnesi",
        "pair_repulsion": True,
    },
    "invariant": {"hidden_irreps": "4x0e", "num_interactions": 3, "use_last_readout_only": True},
    "envelope on messages": {"apply_cutoff": False, "gate": "tanh", "num_cutoff_basis": 6},
    "one layer": {"num_interactions": 1, "use_agnostic_product": True},
    "gaussian": {"radial_type": "gaussian", "num_radial_basis": 6},
}


@needs_mace
class TestFiles:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_a_file_is_read_as_what_was_written(self, tmp_path, variant):
        potential = small_potential(**VARIANTS[variant]).eval()
        mace_to_file(potential, tmp_path / "a.model")
        read = load_potential(tmp_path / "a.model")
        check_native(read, own_calculator(tmp_path / "a.model"))
        if variant == "gaussian":  # whose arguments mace itself does not recover
            assert type(read.model) is LoadedMACE
            return
        assert type(read.model) is MACE
        if variant != "one layer":  # in which some arguments have no effect
            expected = {**potential.model.hyperparameters(), "seed": 0}
            assert read.model.hyperparameters() == expected
        save_potential(read, tmp_path / "ours.pt")
        check_native(load_potential(tmp_path / "ours.pt"), own_calculator(tmp_path / "a.model"))

    def test_shift_and_single_precision_of_a_file_are_kept(self, tmp_path):
        network = small_potential().model.network.float()
        with torch.no_grad():
            network.scale_shift.shift.fill_(0.7)
            network.scale_shift.scale.fill_(2.5)
            network.atomic_energies_fn.atomic_energies.copy_(torch.tensor([[-1.0, -2.0, -3.0]]))
        torch.save(network, tmp_path / "a.model")
        read = load_potential(tmp_path / "a.model")
        check_native(read, own_calculator(tmp_path / "a.model"))
        assert read.atomic_energies.as_dict()["Au"] == pytest.approx(-1.3, abs=1e-6)
        assert float(read.atomic_energies.scale) == 2.5

    def test_a_network_that_cannot_be_rebuilt_is_used_as_it_is(self, tmp_path):
        path = tmp_path / "heads.model"
        torch.save(two_heads(), path)
        read = load_potential(path)
        assert type(read.model) is LoadedMACE
        check_native(read, own_calculator(path, head="default"))
        with pytest.raises(ValueError, match=r"heads\.model has an architecture"):
            save_potential(read, tmp_path / "ours.pt")
        mace_to_file(read, tmp_path / "again.model")
        check_native(read, own_calculator(tmp_path / "again.model", head="default"))

    def test_heads_without_a_default_are_named(self, tmp_path):
        network = two_heads()
        network.heads = ["one", "other"]
        torch.save(network, tmp_path / "a.model")
        with pytest.raises(PotentialFileError, match="one, other.*mace_select_head"):
            load_potential(tmp_path / "a.model")

    def test_what_is_no_model_of_mace_is_refused(self, tmp_path):
        torch.save(small_potential().model.network.readouts[0], tmp_path / "a.model")
        with pytest.raises(PotentialFileError, match=r"a\.model holds a LinearReadoutBlock"):
            load_potential(tmp_path / "a.model")
        (tmp_path / "b.model").write_bytes(b"nothing")
        with pytest.raises(PotentialFileError, match=r"b\.model cannot be read"):
            load_potential(tmp_path / "b.model")

    def test_what_a_file_cannot_hold_is_not_written(self, tmp_path):
        potential = small_potential()
        potential.zbl = ZBL(SPECIES)
        with pytest.raises(ValueError, match="pair_repulsion"):
            mace_to_file(potential, tmp_path / "a.model")


def two_heads():
    """A network with a readout for each of two levels of theory, all constants generic."""
    from mace import modules

    network = small_potential().model.network
    with isolated(seed=3):
        from e3nn import o3
        from mace.tools.scripts_utils import extract_config_mace_model

        config = extract_config_mace_model(network)
        config.update(
            heads=["pt_head", "default"],
            atomic_energies=np.array([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]),
            atomic_inter_scale=[0.7, 1.9],
            atomic_inter_shift=[0.1, -0.2],
            MLP_irreps=o3.Irreps("4x0e"),
        )
        return modules.ScaleShiftMACE(**config)


@needs_mace
class TestBuilding:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("gate", "relu"), ("radial_type", "sine"), ("interaction", "Block")],
    )
    def test_unknown_names_are_refused_with_the_known_ones(self, name, value):
        with pytest.raises(ValueError, match=rf"{name} '{value}' is none of"):
            MACE(SPECIES, 4.0, **{**SIZES, name: value})

    def test_the_seed_alone_draws_the_weights(self):
        weights = [next(MACE(SPECIES, 4.0, **SIZES, seed=seed).parameters()) for seed in (0, 0, 1)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    def test_defaults_have_as_many_parameters_as_the_command_line_gives(self):
        # mace_run_train --model=MACE with two elements, r_max 5 and nothing else.
        from mace.tools import build_default_arg_parser, check_args
        from mace.tools.model_script_utils import configure_model
        from mace.tools.utils import AtomicNumberTable

        with isolated():
            args = build_default_arg_parser().parse_args(["--name=a", "--E0s={}"])
            args, _ = check_args(args)
            args.mean, args.std, args.embedding_specs = 0.0, 1.0, None
            args.compute_energy, args.compute_dipole = True, False
            table = AtomicNumberTable([13, 29])
            network, _ = configure_model(
                args, [], np.zeros((1, 2)), None, heads=["Default"], z_table=table
            )
        ours = MACE(["Al", "Cu"]).network
        assert {n: p.shape for n, p in ours.named_parameters()} == {
            n: p.shape for n, p in network.named_parameters()
        }

    def test_neighbours_are_counted_within_the_cutoff_at_atoms_that_have_any(self):
        # Five copper atoms with 12 neighbours, a pair that sees itself, and a lone atom.
        crystal = bulk("Cu", cubic=True)
        pair = ase.Atoms("Cu2", positions=[(0, 0, 0), (2.5, 0, 0)])
        frames = [build_frame(atoms, 4.5) for atoms in (crystal, pair, ase.Atoms("Cu"))]
        batch = collate(frames)
        from sus2bench.atoms.frame import edge_vectors

        batch.edge_vectors = edge_vectors(batch)
        model = MACE(SPECIES, 3.0, **SIZES)
        assert model.scale_to_data([batch]) == {"avg_num_neighbors": (4 * 12 + 2) / 6}
        assert model.network.interactions[1].avg_num_neighbors == (4 * 12 + 2) / 6
        copy = MACE(SPECIES, 3.0, **SIZES)
        copy.load_state_dict(model.to(torch.float32).state_dict())
        assert copy.network.interactions[0].avg_num_neighbors == (4 * 12 + 2) / 6


@needs_mace
def test_training_lowers_the_loss_and_its_checkpoint_predicts_the_same(tmp_path):
    potential = Potential(MACE(["Cu", "Au"], 4.0, **SIZES)).to(torch.float32)
    potential.model.set_avg_num_neighbors(17.3)
    module = PotentialModule(
        potential,
        PotentialLoss(1.0, 0.1, 10.0),
        partial(torch.optim.Adam, lr=1e-2, amsgrad=True),
        log_every=1,
    )
    result = fit(
        module,
        EMTData(),
        Budget(max_steps=8),
        folder=tmp_path,
        trainer=partial(pl.Trainer, accelerator="cpu"),
        callbacks=[Checkpoints()],
    )
    read = load_potential(result.last_checkpoint, dtype=torch.float32)
    assert read.model.network.interactions[0].avg_num_neighbors == 17.3
    atoms = structures(["Cu", "Au"])["crystal"]
    expected, actual = predict(potential.eval(), atoms), predict(read, atoms)
    assert torch.equal(actual.energy, expected.energy)
    assert torch.isfinite(expected.energy).all()
    assert torch.equal(actual.forces, expected.forces)
