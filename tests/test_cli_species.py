"""`sus2bench prune` and `sus2bench extend`: files in, files out, mistakes named."""

import json

import pytest
import torch

from sus2bench import cli
from sus2bench.cli.parsing import USER_ERROR
from sus2bench.models import mtp, nep, sus2
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.testing.potentials import perturb, predict
from sus2bench.testing.structures import structures

SYMBOLS = ["Al", "Cu", "Ni"]
CUTOFF = 4.0


@pytest.fixture
def files(tmp_path, monkeypatch):
    """One potential of each kind, in files."""
    monkeypatch.chdir(tmp_path)
    sus2.potential_to_mtp(perturb(Potential(sus2.SUS2(SYMBOLS, CUTOFF, channels=1))), "sus2.mtp")
    mtp.potential_to_mtp(perturb(Potential(mtp.MTP(SYMBOLS, CUTOFF, level=6))), "mtp.almtp")
    nep.potential_to_nep(perturb(Potential(nep.NEP(SYMBOLS, CUTOFF, neurons=3))), "nep.txt")
    save_potential(perturb(Potential(sus2.SUS2(SYMBOLS, CUTOFF, channels=1))), "own.pt")
    (tmp_path / "species.json").write_text(json.dumps({"metals": SYMBOLS}))
    return tmp_path


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("sus2.mtp", ["--file-species", "Al,Cu,Ni"]),
        ("sus2.mtp", ["--file-species", "species.json:metals"]),
        ("mtp.almtp", ["--file-species", "Al,Cu,Ni"]),
        ("nep.txt", []),
        ("own.pt", []),
    ],
)
def test_a_pruned_file_predicts_as_the_whole_one(files, capsys, source, named):
    out = source.replace(".", "_pruned.")
    assert cli.main(["prune", source, *named, "--species", "Ni,Al", "--out", out]) == 0
    assert f"{out}: Ni, Al; " in capsys.readouterr().out
    frames = structures(["Al", "Ni"]).values()
    symbols = SYMBOLS if named else None
    before = predict(load_potential(source, symbols), *frames)
    after = predict(load_potential(out, ["Ni", "Al"]), *frames)
    for name in ("energy", "forces", "virial"):
        # The text of a file has all digits, nep.txt those of float32; sums run in one order.
        limit = 1e-5 if source == "nep.txt" else 1e-12
        torch.testing.assert_close(
            getattr(after, name), getattr(before, name), rtol=limit, atol=limit
        )


def test_an_extended_file_has_the_elements_and_energies_that_were_asked_for(files, capsys):
    new = ["--species", "Zn,Pd", "--like", "Pd=Ni", "--energies", "Zn=-1.25"]
    assert cli.main(["extend", "own.pt", *new, "--out", "more.pt"]) == 0
    told = capsys.readouterr().out
    extended, original = load_potential("more.pt"), load_potential("own.pt")
    assert extended.species == (*SYMBOLS, "Zn", "Pd")
    energies = extended.atomic_energies.as_dict()
    assert energies["Zn"] == -1.25
    assert energies["Pd"] == original.atomic_energies.as_dict()["Ni"]
    assert "Zn starts as Al, with an atomic energy of -1.25 eV" in told
    assert "Pd starts as Ni" in told
    frames = structures(SYMBOLS).values()
    torch.testing.assert_close(
        predict(extended, *frames).forces, predict(original, *frames).forces, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["prune", "own.pt", "--species", "Zn", "--out", "a.pt"], "has no Zn to keep"),
        (["prune", "own.pt", "--species", "Al", "--out", "nep.txt"], "nep.txt exists"),
        (["prune", "own.pt", "--species", "Al", "--out", "new.txt"], "only NEP can be written"),
        (["prune", "nep.txt", "--species", "Al", "--out", "new.mtp"], "only SUS2 can be written"),
        (["prune", "sus2.mtp", "--species", "Al", "--out", "a.mtp"], "give --file-species"),
        (["prune", "own.pt", "--out", "a.pt"], "--species"),
        (["extend", "own.pt", "--species", "Cu", "--out", "a.pt"], "knows Cu already"),
        (["extend", "own.pt", "--species", "Zn", "--like", "Pd=Cu", "--out", "a.pt"], "NEW=VALUE"),
        (["extend", "own.pt", "--species", "Zn", "--like", "Zn", "--out", "a.pt"], "NEW=VALUE"),
        (["extend", "own.pt", "--species", "Zn", "--energies", "Zn=x", "--out", "a.pt"], "'x'"),
    ],
)
def test_mistakes_are_named(files, capsys, arguments, text):
    try:
        code = cli.main(arguments)
    except SystemExit as stop:  # of the argument parser
        code = stop.code
    assert code == USER_ERROR
    assert text in capsys.readouterr().err
    assert not (files / "a.pt").exists()


@pytest.mark.parametrize("command", ["prune", "extend"])
def test_help_has_examples(command, capsys):
    assert cli.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"sus2bench {command} " in text.rpartition("example")[2]
