"""Files of MLIP-2 and MLIP-3: exact round trips, and errors that name file, line and field."""

from pathlib import Path

import numpy as np
import pytest

from sus2bench.models.mtp.levels import level_table
from sus2bench.models.mtp.mlip_file import (
    MLIPFile,
    MTPFormatError,
    format_mlip,
    read_mlip,
    table_from_file,
    write_mlip,
)

COEFFICIENTS = ("radial_coeffs", "species_coeffs", "moment_coeffs")


def make_file(trained: bool = True) -> MLIPFile:
    generator = np.random.default_rng(0)
    content = MLIPFile(
        species_count=2,
        min_dist=1.9,
        max_dist=5.25,
        radial_basis_size=4,
        radial_funcs_count=2,
        table=level_table(6),
        scaling=0.013,
    )
    if trained:
        content.radial_coeffs = generator.normal(size=(2, 2, 2, 4))
        content.species_coeffs = generator.normal(size=2)
        content.moment_coeffs = generator.normal(size=5)
    return content


@pytest.fixture
def text() -> str:
    return format_mlip(make_file())


def read_text(folder: Path, text: str | bytes) -> MLIPFile:
    path = folder / "case.mtp"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_mlip(path)


@pytest.mark.parametrize("trained", [True, False])
def test_round_trip_is_exact_in_every_number(tmp_path, trained):
    content = make_file(trained)
    write_mlip(content, tmp_path / "a.mtp")
    again = read_mlip(tmp_path / "a.mtp")
    assert again.is_trained == trained
    for field in vars(content):
        np.testing.assert_array_equal(getattr(again, field), getattr(content, field), strict=True)
    assert format_mlip(again) == (tmp_path / "a.mtp").read_text()
    assert table_from_file(tmp_path / "a.mtp") == content.table


def test_written_file_has_the_layout_of_mlip_2(text):
    lines = text.split("\n")
    assert lines[:12] == [
        "MTP",
        "version = 1.1.0",
        "potential_name = MTP1m",
        "scaling = 1.300000000000000e-02",
        "species_count = 2",
        "potential_tag = ",
        "radial_basis_type = RBChebyshev",
        "\tmin_dist = 1.900000000000000e+00",
        "\tmax_dist = 5.250000000000000e+00",
        "\tradial_basis_size = 4",
        "\tradial_funcs_count = 2",
        "\tradial_coeffs",
    ]
    assert [line for line in lines if line.startswith("\t\t") and "{" not in line] == [
        *("\t\t0-0", "\t\t0-1", "\t\t1-0", "\t\t1-1"),
    ]
    assert [line.partition(" =")[0] for line in lines[24:]] == [
        *("alpha_moments_count", "alpha_index_basic_count", "alpha_index_basic"),
        *("alpha_index_times_count", "alpha_index_times", "alpha_scalar_moments"),
        *("alpha_moment_mapping", "species_coeffs", "moment_coeffs", ""),
    ]


def test_what_mlip_3_writes_is_read(tmp_path, text):
    text = text.replace("scaling = 1.300000000000000e-02\n", "")
    for old, new in (("0-0", "3-3"), ("0-1", "3-11"), ("1-0", "11-3"), ("1-1", "11-11")):
        text = text.replace(f"\t\t{old}\n", f"\t\t{new}\n")
    selection = b"\n#MVS_v1.1\nenergy_weight 1.0\n\xff\xfe\x00"
    content = read_text(tmp_path, text.encode() + selection)
    assert content.scaling == 1.0
    assert content.type_numbers == (3, 11)
    np.testing.assert_array_equal(content.radial_coeffs, make_file().radial_coeffs)
    assert "\t\t3-11\n" in format_mlip(content)


@pytest.mark.parametrize(
    "names", [("min_val", "max_val", "basis_size"), ("min", "max", "size")], ids=["val", "short"]
)
def test_other_names_of_the_radial_basis_are_read(tmp_path, text, names):
    for old, new in zip(("min_dist", "max_dist", "radial_basis_size"), names, strict=True):
        text = text.replace(old, new)
    assert format_mlip(read_text(tmp_path, text)) == format_mlip(make_file())


def test_fields_that_mlip_may_leave_out_have_its_values(tmp_path, text):
    lines = [line for line in text.split("\n") if not line.startswith("potential_")]
    content = read_text(tmp_path, "\r\n".join(lines))
    assert (content.potential_name, content.potential_tag) == ("MTP1m", "")


@pytest.mark.parametrize(
    ("old", "new", "field", "message"),
    [
        ("= 1.1.0", "= 1.2.0", "version", "only 1.1.0 is known"),
        ("= RBChebyshev", "= RBShapeev", "radial_basis_type", "known are RBChebyshev"),
        ("= RBChebyshev", "= RBChebyshev_repuls", "radial_basis_type", "known are RBChebyshev"),
        ("= MTP1m", "= my potential", "potential_name", "not one word"),
        ("species_count = 2", "species_count = 3", "radial_coeffs", "needs 9"),
        ("species_count = 2", "species_count = 0", "species_count", "at least 1"),
        ("max_dist = 5", "max_dist = 0", "max_dist", "exceed 0 and min_dist"),
        ("max_dist = 5", "max_dist = x", "max_dist", "no finite decimal number"),
        ("radial_basis_size = 4", "radial_basis_size = 5", "radial_coeffs", "has 4 numbers"),
        ("radial_funcs_count = 2", "radial_funcs_count = 3", "radial_funcs_count", "0 to 1"),
        ("\t\t0-1\n", "\t\t1-0\n", "radial_coeffs", "names the species|is due|different"),
        ("\t\t1-0\n", "\t\t1-1\n", "radial_coeffs", "1-1 where 1-0 is due"),
        ("moment_coeffs = {", "moment_coeffs = {1.0, ", "moment_coeffs", "has shape"),
        ("\nspecies_coeffs", "\n", None, "is no known line"),
        ("radial_funcs_count", "magnetic_basis_type", "magnetic_basis_type", "without magnetic"),
        ("alpha_scalar_moments = 5", "alpha_scalar_moments = 6", "alpha_scalar_moments", "lists 5"),
    ],
)
def test_wrong_value_is_an_error_that_says_so(tmp_path, text, old, new, field, message):
    assert old in text
    with pytest.raises(MTPFormatError, match=message) as caught:
        read_text(tmp_path, text.replace(old, new, 1))
    assert caught.value.field == field
    assert str(caught.value).startswith(str(tmp_path / "case.mtp"))
    assert caught.value.line is not None


def test_truncated_at_any_line_is_an_error_unless_it_is_the_last(tmp_path, text):
    lines = text.rstrip("\n").split("\n")
    for count in range(len(lines)):
        with pytest.raises(MTPFormatError):
            read_text(tmp_path, "\n".join(lines[:count]))


@pytest.mark.parametrize("field", COEFFICIENTS)
def test_missing_block_of_a_trained_model_is_an_error(field):
    content = make_file()
    setattr(content, field, None)
    with pytest.raises(MTPFormatError, match="is missing while") as caught:
        content.check()
    assert caught.value.field == field


def test_write_refuses_to_overwrite_unless_told(tmp_path):
    write_mlip(make_file(), tmp_path / "a.mtp")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_mlip(make_file(), tmp_path / "a.mtp")
    write_mlip(make_file(False), tmp_path / "a.mtp", overwrite=True)
    assert not read_mlip(tmp_path / "a.mtp").is_trained
