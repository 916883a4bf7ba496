"""Folders of matgl: read as potentials that equal matgl's own, or refused with a reason."""

import json
import warnings

import pytest
import torch
from matgl_native import ENERGIES, SPECIES, check_native, double_precision, needs_matgl

from sus2bench.models.external.chgnet import CHGNet
from sus2bench.models.external.m3gnet import M3GNet, M3GNetRough
from sus2bench.models.external.matgl_file import recognises
from sus2bench.models.external.tensornet import TensorNet
from sus2bench.models.loading import PotentialFileError, load_potential, save_potential

# Files that matgl publishes have arguments of former versions too, which it ignores: num_rbf of
# M3GNet, niters_set2set of TensorNet.
TENSORNET = {"niters_set2set": 3, "units": 6, "num_rbf": 5, "is_intensive": False}
M3GNET = {"dim_node_embedding": 6, "dim_edge_embedding": 5, "units": 7, "max_n": 2, "max_l": 2}
M3GNET.update(threebody_cutoff=3.4, nblocks=2, is_intensive=False, num_rbf=3)
CHGNET = {"max_n": 3, "num_blocks": 2, "dim_atom_embedding": 6, "final_hidden_dims": [6]}
CASES = {
    "tensornet": ("TensorNet", TENSORNET, TensorNet),
    "tensornet with Bessel functions": (
        "TensorNet",
        {**TENSORNET, "rbf_type": "SphericalBessel", "equivariance_invariance_group": "SO(3)"},
        TensorNet,
    ),
    "m3gnet": ("M3GNet", {**M3GNET, "use_smooth": True}, M3GNet),
    "rough m3gnet": ("M3GNet", M3GNET, M3GNetRough),
    "chgnet with magnetic moments": ("CHGNet", CHGNET, CHGNet),
    "chgnet with tuples": (
        "CHGNet",
        {**CHGNET, "final_hidden_dims": (6, 5), "normalization": "layer", "num_site_targets": 0},
        CHGNet,
    ),
}


def network(kind, arguments, cutoff=4.0):
    """A network as its users build it, in matgl's own precision, float32."""
    import matgl.models

    torch.manual_seed(1)
    return getattr(matgl.models, kind)(element_types=SPECIES, cutoff=cutoff, **arguments)


def write(folder, kind, arguments, **settings):
    """A folder with a `Potential` of matgl."""
    from matgl.apps.pes import Potential

    settings = {"data_std": 1.7, "element_refs": list(ENERGIES.values()), **settings}
    Potential(network(kind, arguments), **settings).save(folder)
    return folder


def matgl_own(folder):
    import matgl

    with double_precision():
        return matgl.load_model(folder).double()


@needs_matgl
@pytest.mark.parametrize("case", CASES)
def test_a_folder_is_read_as_matgl_reads_it(tmp_path, case):
    kind, arguments, adapter = CASES[case]
    folder = write(tmp_path / "saved", kind, arguments)
    read = load_potential(folder)
    assert type(read.model) is adapter
    check_native(read, matgl_own(folder))
    save_potential(read, tmp_path / "ours.pt")
    check_native(load_potential(tmp_path / "ours.pt"), matgl_own(folder))


@needs_matgl
def test_the_description_may_be_named_in_place_of_the_folder(tmp_path):
    folder = write(tmp_path / "saved", *CASES["tensornet"][:2])
    read = load_potential(folder / "model.json", species=SPECIES)
    assert read.species == SPECIES
    assert float(read.atomic_energies.scale) == pytest.approx(1.7, abs=1e-7)  # float32 there
    assert read.atomic_energies.as_dict() == ENERGIES


@needs_matgl
def test_a_bare_network_has_no_atomic_energies_and_scale_1(tmp_path):
    kind, arguments, _ = CASES["m3gnet"]
    network(kind, arguments).save(tmp_path)
    read = load_potential(tmp_path)
    assert set(read.atomic_energies.as_dict().values()) == {0.0}
    assert float(read.atomic_energies.scale) == 1.0
    from matgl.apps.pes import Potential

    with double_precision():
        own = Potential(matgl_own(tmp_path)).double()
    check_native(read, own)


@needs_matgl
def test_layers_that_the_accelerated_form_joins_are_separated(tmp_path):
    folder = write(tmp_path, *CASES["tensornet"][:2])
    own = matgl_own(folder)
    state = torch.load(folder / "state.pt", weights_only=True)
    prefix = "model.tensor_embedding.distance_proj"
    for kind in ("weight", "bias"):
        parts = [state.pop(f"{prefix}{n}.{kind}") for n in (1, 2, 3)]
        state[f"{prefix}.{kind}"] = torch.cat(parts)
    torch.save(state, folder / "state.pt")
    check_native(load_potential(folder), own)


@needs_matgl
def test_all_elements_of_matgl_are_taken_where_a_file_names_none(tmp_path):
    import matgl.models

    matgl.models.CHGNet(**CHGNET).save(tmp_path)
    assert len(load_potential(tmp_path).species) == 94


@needs_matgl
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"calc_repuls": True}, "has calc_repuls in it"),
        ({"data_mean": 0.5}, "has a data_mean in it"),
        ({"element_refs": torch.zeros(2, 3)}, "element_refs have the shape"),
    ],
)
def test_energies_that_are_no_sum_over_atoms_are_refused(tmp_path, settings, message):
    write(tmp_path, *CASES["tensornet"][:2], **settings)
    with pytest.raises(PotentialFileError, match=message):
        load_potential(tmp_path)


@needs_matgl
@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("TensorNet", {**TENSORNET, "is_intensive": True}, "has is_intensive = True, which"),
        ("M3GNet", {**M3GNET, "use_phi": True}, "has use_phi = True, which"),
        ("CHGNet", {**CHGNET, "layer_bond_weights": "both"}, "layer_bond_weights = 'both', which"),
        ("CHGNet", {**CHGNET, "threebody_cutoff": 5.0}, r"threebody_cutoff = 5\.0 Å is larger"),
        ("MEGNet", {}, "holds a MEGNet; models of matgl that can be used are TensorNet, M3GNet"),
    ],
)
def test_other_models_are_refused(tmp_path, kind, arguments, message):
    network(kind, arguments).save(tmp_path)
    with pytest.raises(PotentialFileError, match=message):
        load_potential(tmp_path)


@needs_matgl
def test_another_version_is_read_with_a_warning(tmp_path):
    network(*CASES["m3gnet"][:2]).save(tmp_path)
    description = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**description, "@model_version": 1}))
    with pytest.warns(UserWarning, match="written by version 1 of matgl's M3GNet"):
        load_potential(tmp_path)


@needs_matgl
def test_reading_does_not_warn(tmp_path):
    write(tmp_path, *CASES["chgnet with magnetic moments"][:2])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_potential(tmp_path)


@needs_matgl
def test_damaged_folders_are_refused_by_name(tmp_path):
    write(tmp_path, *CASES["tensornet"][:2])
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["model.linear.other"] = state.pop("model.linear.weight")
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(PotentialFileError, match=r"lacks \['linear.weight'\] and has \['linear.ot"):
        load_potential(tmp_path)
    (tmp_path / "state.pt").write_text("nothing")
    with pytest.raises(PotentialFileError, match=r"state\.pt cannot be read"):
        load_potential(tmp_path)
    (tmp_path / "state.pt").unlink()
    with pytest.raises(PotentialFileError, match=r"state\.pt is missing"):
        load_potential(tmp_path)


def test_only_a_description_by_matgl_is_recognised(tmp_path):
    path = tmp_path / "model.json"
    for text in ("no json", "[]", "{}", '{"@module": 1}', '{"@module": "matglx.models"}'):
        path.write_text(text)
        assert not recognises(path)
    path.write_text('{"@module": "matgl.models._tensornet", "@class": "TensorNet"}')
    assert recognises(path)
    path.rename(tmp_path / "other.json")
    assert not recognises(tmp_path / "other.json")


def test_a_folder_without_a_description_is_no_potential(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.json: the file does not exist"):
        load_potential(tmp_path)
