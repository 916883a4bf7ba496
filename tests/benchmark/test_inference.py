"""Forms of a potential: each predicts the same, or is left out with its reason."""

import copy
import logging
import shutil

import psutil
import pytest
import torch

from sus2bench.atoms.frame import collate
from sus2bench.benchmark import inference, speed
from sus2bench.models.composition import Composition
from sus2bench.models.external.edges import edges_within
from sus2bench.models.painn import PaiNN
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet
from sus2bench.models.sus2 import SUS2
from sus2bench.models.zbl import ZBL
from sus2bench.testing import perturb
from sus2bench.testing.potentials import check_close
from sus2bench.testing.state import process_state

SPECIES = ["Al", "Cu"]


class Choosy(SchNet):
    """Leaves out edges by their length, as adapters do: here all but the nearest neighbours."""

    def forward(self, frame):
        near = copy.copy(frame)
        near.edge_vectors, near.edge_index = edges_within(frame, 3.5)
        assert near.edge_index.shape[1] < frame.edge_index.shape[1]
        return super().forward(near)


MODELS = {
    "schnet": lambda: SchNet(SPECIES, 4.0, features=8, interactions=1, gaussians=6),
    "choosy": lambda: Choosy(SPECIES, 4.0, features=8, interactions=1, gaussians=6),
    "painn": lambda: PaiNN(SPECIES, 4.0, features=8, interactions=1, bessels=6),
    "sus2": lambda: SUS2(SPECIES, 4.0, channels=1, radial_basis_size=4),
}


def build(model, dtype=torch.float64):
    energies = {"Al": -1.5, "Cu": -2.5}
    potential = Potential(MODELS[model](), energies, energy_scale=0.5, zbl=ZBL(SPECIES))
    return perturb(potential.to(dtype))


def moved(batch):
    other = batch.clone()
    other.pos = batch.pos + 0.02 * torch.cos(torch.arange(batch.pos.numel())).view_as(batch.pos)
    return other


def check_same(predict, potential, batch):
    for frames in (batch, moved(batch)):
        actual, expected = predict(frames), inference.as_it_is(potential)(frames)
        # Sums in another order.
        check_close(actual.energy, expected.energy, 1e-9, "energy")
        check_close(actual.site_energies, expected.site_energies, 1e-10, "site energies")
        check_close(actual.forces, expected.forces, 1e-10, "forces")
        assert actual.stress is None


@pytest.fixture
def interpreted(monkeypatch):
    """The traced function as it is, for tests without a compiler."""
    from torch import _inductor

    monkeypatch.setattr(_inductor, "compile", lambda traced, inputs: traced)


@pytest.mark.parametrize("model", MODELS)
def test_traced_function_predicts_the_same_for_other_positions(model, frames, interpreted):
    potential, batch = build(model), collate(frames[:3])
    check_same(inference.compiled(potential, batch), potential, batch)


def test_work_on_parameters_stays_in_the_trace(frames, monkeypatch):
    from torch import _inductor

    traces = []
    monkeypatch.setattr(_inductor, "compile", lambda traced, _: traces.append(traced) or traced)
    inference.compiled(build("sus2"), collate(frames[:2]))
    names = {node.target.__name__ for node in traces[0].graph.nodes if node.op == "call_function"}
    # The outer product of species factors is computed; counting neighbours is done beforehand.
    assert any(name.startswith("mul") for name in names)
    assert not any("bincount" in name for name in names)


def compilers():
    return any(map(shutil.which, ("g++", "clang++")))


@pytest.mark.slow
@pytest.mark.skipif(not compilers(), reason="compilation needs g++ or clang++")
@pytest.mark.parametrize("model", ["schnet", "choosy", "sus2"])
def test_compiled_form_predicts_the_same_and_leaves_the_process_as_it_was(model, frames):
    from torch import _dynamo, _inductor

    potential, batch = build(model), collate(frames[:3])
    before = process_state(), _inductor.config.get_config_copy(), _dynamo.config.get_config_copy()
    children = psutil.Process().children()
    predict = inference.compiled(potential, batch)
    after = process_state(), _inductor.config.get_config_copy(), _dynamo.config.get_config_copy()
    assert after == before
    assert psutil.Process().children() == children
    check_same(predict, potential, batch)
    assert all(parameter.requires_grad for parameter in potential.parameters())


def test_mode_that_was_asked_for_is_timed_and_recorded_beside_eager(potential, frames, interpreted):
    settings = {"warm_up": 1, "repeats": 2, "quantities": []}
    entry = speed.compare({"a": potential}, frames[:2], mode="compile", **settings)["a"]
    assert entry["mode"] == "compile"
    assert list(entry["modes_us_per_atom"]) == ["eager", "compile"]
    assert entry["energy_and_forces_us_per_atom"] == entry["modes_us_per_atom"]["compile"]
    assert entry["preparation_seconds"]["compile"] > 0
    fastest = speed.compare({"a": potential}, frames[:2], mode="fastest", **settings)["a"]
    medians = {name: timing["median"] for name, timing in fastest["modes_us_per_atom"].items()}
    assert medians[fastest["mode"]] == min(medians.values())
    plain = speed.compare({"a": potential}, frames[:2], **settings)["a"]
    assert plain["mode"] == "eager"
    assert "modes_us_per_atom" not in plain


def test_form_that_cannot_be_made_is_eager_with_the_reason(frames, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr(inference, "compiled", fail)
    with caplog.at_level(logging.WARNING):
        entry = speed.compare({"a": build("sus2")}, frames[:1], mode="compile", repeats=1)["a"]
    assert entry["mode"] == "eager"
    assert entry["missing_modes"] == {"compile": "RuntimeError: no compiler"}
    assert "no compiler" in caplog.text


@pytest.mark.parametrize("factor", [1 + 1e-9, float("nan")])
def test_form_that_predicts_something_else_is_left_out(frames, monkeypatch, factor):
    potential, batch = build("sus2"), collate(frames[:2])
    eager = inference.as_it_is(potential)

    def wrong(batch):
        predicted = eager(batch)
        return predicted._replace(forces=predicted.forces * factor)

    monkeypatch.setattr(inference, "compiled", lambda *_: wrong)
    forms = inference.forms_of(potential, batch, "compile")
    assert list(forms.predict) == ["eager"]
    assert "forces differ by" in forms.missing["compile"]


def test_form_that_a_model_offers_goes_by_the_model_s_name_for_it(frames, monkeypatch):
    potential, batch = build("sus2"), collate(frames[:2])
    twin = build("sus2").model
    monkeypatch.setattr(type(potential.model), "for_inference", lambda self: (twin, "twin kernels"))
    monkeypatch.setattr(inference, "compiled", lambda *_: inference.as_it_is(potential))
    forms = inference.forms_of(potential, batch, "fastest")
    assert list(forms.predict) == ["eager", "twin kernels", "compile"]
    assert list(inference.forms_of(potential, batch, "compile").predict) == ["eager", "compile"]
    assert potential.model is not twin


def test_model_without_forces_is_timed_eagerly(frames):
    forms = inference.forms_of(Potential(Composition(SPECIES)), collate(frames[:2]), "compile")
    assert list(forms.predict) == ["eager"]
    assert "compile" in forms.missing


def test_unknown_mode_is_refused(potential, frames):
    with pytest.raises(ValueError, match="'jit' is none of eager, compile, fastest"):
        speed.compare({"a": potential}, frames[:1], mode="jit")
