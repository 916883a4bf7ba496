"""Reading and writing .mtp files: exact round trips, and errors that name file, line and field."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from sus2bench.models.sus2.contractions import published_table
from sus2bench.models.sus2.mtp_file import (
    RADIAL_BASIS_TYPES,
    MTPFile,
    MTPFormatError,
    format_mtp,
    read_mtp,
    table_from_file,
    write_mtp,
)

COEFFICIENTS = ("shift_coeffs", "scal_coeffs", "radial_coeffs", "species_coeffs", "moment_coeffs")


def make_file(trained: bool = True, scaling_map: str = "LK") -> MTPFile:
    """A small model of two species; random numbers mostly need 17 digits."""
    generator = np.random.default_rng(5)
    table = published_table(2, 2)
    channels = {"K": 2, "L": 3, "LK": 6}[scaling_map]
    coefficients = {
        "shift_coeffs": generator.normal(size=2),
        "scal_coeffs": generator.normal(size=(channels, 2, 2, 2)),
        "radial_coeffs": generator.normal(size=(6, 4 + 2)),
        "species_coeffs": np.array([1.0, 0.1 + 0.2]),
        "moment_coeffs": generator.normal(size=62) * 10.0 ** generator.integers(-12, 12, 62),
    }
    return MTPFile(
        potential_name="MTP_l2k2",
        scaling=0.1,
        L=2,
        scaling_map=scaling_map,
        species_count=2,
        potential_tag="",
        radial_basis_type="RBChebyshev_sss",
        min_dist=-1 / 3,
        max_dist=6.0,
        radial_basis_size=4,
        radial_funcs_count=6,
        table=table,
        **(coefficients if trained else {}),
    )


def assert_same(one: MTPFile, other: MTPFile) -> None:
    for field, value in vars(one).items():
        same = getattr(other, field)
        if isinstance(value, np.ndarray):
            assert value.tobytes() == same.tobytes(), field
        else:
            assert value == same, field


def with_value(text: str, field: str, value: str) -> str:
    """The text with another value of a field."""
    changed, count = re.subn(rf"(?m)^(\s*{field} *=) *.*$", lambda m: f"{m[1]} {value}", text)
    assert count == 1
    return changed


@pytest.fixture(scope="module")
def text() -> str:
    return format_mtp(make_file())


def read_text(folder: Path, text: str | bytes) -> MTPFile:
    path = folder / "model.mtp"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_mtp(path)


@pytest.mark.parametrize("scaling_map", ["K", "L", "LK"])
@pytest.mark.parametrize("trained", [True, False])
def test_round_trip_is_exact_in_every_number(tmp_path, trained, scaling_map):
    original = make_file(trained, scaling_map)
    write_mtp(original, tmp_path / "model.mtp")
    assert_same(original, read_mtp(tmp_path / "model.mtp"))


@pytest.mark.parametrize(
    "number", [0.1, 1 / 3, -0.0, 5e-324, 1.7976931348623157e308, -2.2250738585072014e-308, 1e22]
)
def test_extreme_numbers_survive(tmp_path, number):
    original = make_file()
    original.species_coeffs[0] = number
    write_mtp(original, tmp_path / "model.mtp")
    assert (
        read_mtp(tmp_path / "model.mtp").species_coeffs[:1].tobytes()
        == np.array([number]).tobytes()
    )


def test_written_file_has_the_published_layout(text):
    lines = text.split("\n")
    assert lines[:5] == [
        "MTP",
        "version = 1.1.0",
        "potential_name = MTP_l2k2",
        "scaling = 1.000000000000000e-01",
        "L = 2",
    ]
    assert lines[7:13] == [
        "potential_tag = ",
        "radial_basis_type = RBChebyshev_sss",
        "\tmin_dist = -3.333333333333333e-01",
        "\tmax_dist = 6.000000000000000e+00",
        "\tradial_basis_size = 4",
        "\tradial_funcs_count = 6",
    ]
    assert lines[15:17] == ["\tradial_coeffs", "\t\t0-0"]
    assert lines[17].startswith("\t\t\t{")
    assert lines[25].startswith("alpha_index_basic = {{0, 0, 0, 0}, {1, 1, 0, 0}, ")
    # 0.1 + 0.2 is not 3.000000000000000e-01: a seventeenth digit keeps it.
    assert "species_coeffs = {1.000000000000000e+00, 3.0000000000000004e-01}" in lines


@pytest.mark.parametrize("basis", RADIAL_BASIS_TYPES)
def test_all_basis_types_are_read(tmp_path, text, basis):
    changed = with_value(text, "radial_basis_type", basis)
    assert read_text(tmp_path, changed).radial_basis_type == basis


def test_loose_spacing_and_windows_line_ends_are_read(tmp_path):
    tidy = format_mtp(make_file(trained=False))
    loose = (
        tidy.replace("alpha_moments_count = ", "alpha_moments_count =")
        .replace("}, {", "},{")
        .replace("\t", "        ")
        .replace("= 6.000000000000000e+00", "= 6.0")
        .replace("\n", "\r\n")
    )
    assert_same(read_text(tmp_path, tidy), read_text(tmp_path, loose + "\r\n\r\n"))


def test_scal_coeffs_are_slope_and_centre_by_central_and_neighbour(tmp_path, text):
    flat = ", ".join(str(i) for i in range(48))
    coefficients = read_text(tmp_path, with_value(text, "scal_coeffs", f"{{{flat}}}")).scal_coeffs
    # eta = 1, r0, central 0, neighbour 1: one eta is 8 numbers, its slopes are the first 4.
    assert coefficients[1, 1, 0, 1] == 1 * 8 + 4 + 1


def test_write_refuses_to_overwrite_unless_told(tmp_path):
    path = tmp_path / "model.mtp"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_mtp(make_file(), path)
    assert path.read_text() == "precious"
    write_mtp(make_file(), path, overwrite=True)
    assert_same(make_file(), read_mtp(path))


def test_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "model.mtp"
    write_mtp(make_file(), path)
    before = path.read_bytes()
    broken = make_file()
    broken.moment_coeffs[3] = np.nan
    with pytest.raises(MTPFormatError, match="moment_coeffs"):
        write_mtp(broken, path, overwrite=True)

    def no_disk(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", no_disk)
    with pytest.raises(OSError, match="no space left"):
        write_mtp(make_file(), path, overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.mtp"]


@pytest.mark.parametrize("trained", [True, False])
def test_truncated_at_any_line_is_an_error(tmp_path, trained):
    lines = format_mtp(make_file(trained)).split("\n")
    for count in range(len(lines)):
        with pytest.raises(MTPFormatError, match="model.mtp"):
            read_text(tmp_path, "\n".join(lines[:count]))


def test_truncated_at_any_byte_is_an_error(tmp_path, text):
    generator = np.random.default_rng(11)
    for length in generator.integers(0, len(text), 200):
        with pytest.raises(MTPFormatError, match="model.mtp"):
            read_text(tmp_path, text[:length])


def test_random_bytes_give_no_other_error(tmp_path, text):
    generator = np.random.default_rng(12)
    refused = 0
    for _ in range(300):
        damaged = bytearray(text.encode())
        # Half of the damage falls in the first kilobyte, where the short fields are.
        span = 1000 if generator.random() < 0.5 else len(damaged)
        for position in generator.integers(0, span, 2):
            damaged[position] = generator.integers(0, 256)
        try:
            read_text(tmp_path, bytes(damaged))
        except MTPFormatError:
            refused += 1
    assert refused > 150  # the others changed a digit of a coefficient or a name


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", "2.0", "1.1.0"),
        ("L", "3", "radial_funcs_count"),
        ("L", "-1", "at least 0"),
        ("L", "2.0", "whole number"),
        ("scaling", "nan", "finite decimal"),
        ("scaling", "1e999", "finite"),
        ("scaling_map", "KL", "known are K, L, LK"),
        ("scaling_map", "K", "scal_coeffs"),
        ("species_count", "3", "shift_coeffs|radial_coeffs"),
        ("species_count", "0", "species_count|radial_coeffs"),
        ("radial_basis_type", "RBChebyshev", "RBChebyshev_sss_lmp"),
        ("max_dist", "inf", "finite decimal"),
        ("max_dist", "-2.0", "exceed"),
        ("radial_basis_size", "5", "radial_basis_size"),
        ("radial_funcs_count", "9", "radial_coeffs|scal_coeffs"),
        ("radial_funcs_count", "5", "multiple of L"),
        ("shift_coeffs", "{1.0, nan}", "shift_coeffs"),
        ("shift_coeffs", "{1.0, NaN}", "shift_coeffs.*number 1"),
        ("shift_coeffs", "{1.0, Infinity}", "shift_coeffs.*number 1"),
        ("shift_coeffs", "{1.0, 1e999}", "shift_coeffs.*number 1"),
        ("shift_coeffs", "{1.0}", "species_count"),
        ("shift_coeffs", "1.0, 2.0", "opening brace"),
        ("shift_coeffs", '{1.0, "a"}', "number 1"),
        pytest.param("shift_coeffs", "{" * 100_000, "no list in braces", id="deep nesting"),
        ("species_coeffs", "{1.0, 2.0, 3.0}", "species_count"),
        ("species_coeffs", "{{1.0}, {2.0}}", "number 0"),
        ("moment_coeffs", "{1.0, 2.0}", "alpha_scalar_moments"),
        ("scal_coeffs", "{1.0, 2.0}", "scaling_map LK"),
        ("alpha_moments_count", "105", "alpha_moments_count.*never is"),
        ("alpha_moments_count", "103", "not between"),
        ("alpha_moments_count", "3", "alpha_moments_count"),
        ("alpha_index_basic_count", "30", "lists 20"),
        ("alpha_index_times_count", "1", "alpha_index_times_count.*lists"),
        ("alpha_scalar_moments", "61", "alpha_scalar_moments.*lists 62"),
        ("alpha_index_basic", "{{0, 0, 0}}", "four|needs 4"),
        ("alpha_index_basic", "{{0, 0, 0, 0.5}}", "whole numbers"),
        ("alpha_index_basic", "[[0, 0, 0, 0]]", "opening brace"),
        ("alpha_moment_mapping", "{}", "alpha_scalar_moments"),
    ],
)
def test_wrong_value_is_an_error_that_says_so(tmp_path, text, field, value, message):
    with pytest.raises(MTPFormatError, match=message) as caught:
        read_text(tmp_path, with_value(text, field, value))
    assert caught.value.path == tmp_path / "model.mtp"
    assert f"line {caught.value.line}, field {caught.value.field}" in str(caught.value)
    line = text.split("\n")[caught.value.line - 1]
    assert line.strip().startswith((caught.value.field, "{"))


@pytest.mark.parametrize(
    ("pattern", "replacement", "field", "message"),
    [
        # the first product uses moment 90 before it is made
        (r"times = \{\{\d+, \d+,", "times = {{0, 90,", "alpha_index_times", "before anything"),
        # the last product adds to moment 20, which others have used
        (r"\d+\}\}\nalpha_scalar", "20}}\nalpha_scalar", "alpha_index_times", "completes it"),
        (r"times = \{\{\d+, \d+,", "times = {{0, 9000,", "alpha_index_times", "used before"),
        (r"times = \{\{0, 0, 1", "times = {{0, 0, 0", "alpha_index_times", "multiplicity"),
        (r"mapping = \{0,", "mapping = {104,", "alpha_moment_mapping", "numbered 0 to 103"),
        (r"mapping = \{0,", "mapping = {-1,", "alpha_moment_mapping", "numbered 0 to 103"),
        (r"mapping = \{0, 10,", "mapping = {0, 0,", "alpha_moment_mapping", "second time"),
        (r"basic = \{\{0, 0, 0, 0\}", "basic = {{6, 0, 0, 0}", "alpha_index_basic", "names radial"),
        (r"basic = \{\{0, 0, 0, 0\}", "basic = {{0, 1, 0, 0}", "alpha_index_basic", "rank 1"),
        (r"basic = \{\{0, 0, 0, 0\}", "basic = {{3, 0, 0, 0}", "alpha_index_basic", "twice"),
        (r"basic = \{\{0, 0, 0, 0\}", "basic = {{0, 1, -1, 0}", "alpha_index_basic", "negative"),
        (r"\t\t0-0", "\t\t0-1", "radial_coeffs", "0-0"),
        (r"\t\t\t\{[^,]+, ", "\t\t\t{", "radial_coeffs", "has 5 numbers"),
        (r"\t\t\t\{[^,]+, ", "\t\t\t{nan, ", "radial_coeffs", "no list"),
        (r"(\t\t\t\{[^\n]+\n)", r"", "radial_coeffs", "radial_funcs_count"),
        (r"L = 2\n", "L = 2\nL = 2\n", "L", "occurs again"),
    ],
)
def test_inconsistent_table_or_block_is_an_error(
    tmp_path, text, pattern, replacement, field, message
):
    changed, count = re.subn(pattern, replacement, text, count=1)
    assert count == 1
    with pytest.raises(MTPFormatError, match=message) as caught:
        read_text(tmp_path, changed)
    assert caught.value.field == field
    assert caught.value.line is not None


@pytest.mark.parametrize("field", COEFFICIENTS)
def test_missing_block_of_a_trained_model_is_an_error(field):
    values = vars(make_file()) | {field: None}
    with pytest.raises(MTPFormatError, match=f"{field}: is missing while"):
        MTPFile(**values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin with MTP"),
        (b"\xff\xfe\x00", "is not text"),
        (b"MTP\nvelocity = 3\n", "known fields are"),
        (b"MTP\nversion\n", "known fields are"),
        (b"MTP\nradial_coeffs = 3\n", "known fields are"),
    ],
)
def test_other_content_is_an_error(tmp_path, content, message):
    with pytest.raises(MTPFormatError, match=message):
        read_text(tmp_path, content)


@pytest.mark.parametrize("name", ["two\nlines", " space at an end"])
def test_name_that_would_not_be_read_back_is_an_error(name):
    with pytest.raises(MTPFormatError, match="potential_name"):
        MTPFile(**(vars(make_file()) | {"potential_name": name}))


def test_published_models_are_rewritten_to_the_byte(shared):
    paths = sorted((shared / "reference" / "models").glob("*.mtp"))
    assert paths
    for path in paths:
        original = path.read_text()
        # One published file ends with a line break, the others do not, nor do ours.
        assert format_mtp(read_mtp(path)) == original.removesuffix("\n"), path.name


def test_published_untrained_tables_are_read_and_rewritten(shared, tmp_path):
    paths = sorted((shared / "reference" / "contractions").glob("*.mtp"))
    paths = [path for path in paths if path.name != "l2k1.mtp"]
    paths.append(shared / "data" / "diamond" / "untrained_l2k2.mtp")
    for path in paths:
        original = read_mtp(path)
        assert not original.is_trained
        assert table_from_file(path) == original.table
        write_mtp(original, tmp_path / path.name)
        assert_same(original, read_mtp(tmp_path / path.name))


def test_published_l2k1_with_a_wrong_count_is_refused(shared):
    path = shared / "reference" / "contractions" / "l2k1.mtp"
    with pytest.raises(MTPFormatError, match="is 30, but alpha_index_basic lists 10") as caught:
        table_from_file(path)
    assert (caught.value.field, caught.value.line) == ("alpha_index_basic_count", 15)
