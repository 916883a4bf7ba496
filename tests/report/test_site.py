"""The folder of a site: whole or not at all, escaped, complete, and light."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from made_records import NASTY, data_of, record, summaries, write

from sus2bench.benchmark.records import find_records
from sus2bench.cli import main
from sus2bench.report import site as site_module
from sus2bench.report.folder import MARK, whole_folder
from sus2bench.report.site import write_site


@pytest.fixture
def pages_only(monkeypatch):
    """No scripts of plots and no figures, which take the most of the time."""
    monkeypatch.setattr(site_module, "_plotly", lambda: "")
    monkeypatch.setattr(site_module, "write_figures", lambda *arguments: [])


class Links(HTMLParser):
    """What a page refers to, its identifiers, and the tags that it opens."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        self.links += [values[name] for name in ("href", "src") if name in values]
        self.ids += [values["id"]] if "id" in values else []


def pages(site):
    return sorted([*site.glob("*.html"), *site.glob("runs/*.html")])


def test_every_link_of_every_page_leads_to_a_file_of_the_site(site):
    for page in pages(site):
        for link in Links(page.read_text("utf-8")).links:
            file, _, fragment = link.partition("#")
            assert not re.match(r"\w+://", link), f"{page.name} needs {link}"
            if file and not file.startswith("data:"):
                assert (page.parent / file).is_file(), f"{page.name} links to {link}"
            elif fragment:
                assert f'id="{fragment}"' in page.read_text("utf-8")


def test_pages_are_semantic(site):
    for page in pages(site):
        parsed = Links(page.read_text("utf-8"))
        tags = [tag for tag, _ in parsed.tags]
        assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
        assert tags.count("table") == tags.count("caption")
        assert len(set(parsed.ids)) == len(parsed.ids)
        assert all(values.get("alt") for tag, values in parsed.tags if tag == "img")
        assert all("scope" in values for tag, values in parsed.tags if tag == "th")
        headings = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
        assert all(b - a <= 1 for a, b in zip(headings, headings[1:], strict=False))


def test_text_of_records_never_becomes_code(site):
    for page in pages(site):
        assert "<script>alert" not in page.read_text("utf-8")
    assert "&lt;script&gt;alert" in (site / "index.html").read_text("utf-8")
    groups = data_of(site, "costs")["groups"]
    assert NASTY in {point["label"] for group in groups for point in group["points"]}


def test_page_of_a_run_says_how_to_reproduce_it(site):
    text = (site / "runs" / "alloys-exact.html").read_text("utf-8")
    assert f"git checkout {'0' * 40}\nsus2bench train name=exact\nsus2bench rerun" in text
    for part in ("last line", "seed: 0", "Parameters by block", "torch", "Errors by element"):
        assert part in text
    failed = (site / "runs" / "alloys-broken.html").read_text("utf-8")
    assert "ValueError: no such file" in failed


def test_records_come_along_as_they_are(site, results):
    copy = site / "records" / "alloys-exact.json"
    assert copy.read_bytes() == (results / "alloys" / "exact" / "record.json").read_bytes()


def test_tables_and_figures_are_there_in_every_format(site):
    names = {file.name for file in (site / "tables").iterdir()}
    for kind in ("runs", "fronts", "elements"):
        assert {f"{kind}-alloys-test.{suffix}" for suffix in ("md", "tex", "csv")} <= names
    document = (site / "tables" / "report.tex").read_text("utf-8")
    assert document.count(r"\toprule") == document.count(r"\begin{tabular}") > 5
    assert r"\usepackage{booktabs" in document
    assert "| exact |" in (site / "tables" / "report.md").read_text("utf-8")
    figures = {file.stem for file in (site / "figures").glob("*.svg")}
    assert figures == {file.stem for file in (site / "figures").glob("*.pdf")}
    assert {name.partition("-on-")[0] for name in figures} == {
        "Errors-and-costs",
        "Errors-by-element",
        "Parity",
        "Learning-curves",
    }
    for file in (site / "figures").glob("*.svg"):
        ET.parse(file)


def test_tables_of_models_come_in_every_format_where_there_are_statistics(
    tmp_path, found, monkeypatch, pages_only
):
    monkeypatch.setattr("sus2bench.report.summary.summary", lambda found, split: summaries())
    write_site(found, tmp_path / "site")
    text = (tmp_path / "site" / "tables" / "models-alloys-test.tex").read_text("utf-8")
    assert r"\textbf{9.0 $\pm$ 1.0}" in text
    index = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "<strong>9.0 ± 1.0</strong>" in index
    assert "Models on alloys, test: seeds together" in index
    assert "Models on oxides" not in index


def test_damaged_predictions_are_left_out_with_a_warning(tmp_path, pages_only, caplog):
    for name in ("whole", "damaged"):
        write(tmp_path / "runs" / name, record(name, 10.0), beside=True)
    file = tmp_path / "runs" / "damaged" / "predictions_test.npz"
    file.write_bytes(file.read_bytes()[:1000])
    write_site(find_records([tmp_path / "runs"]), tmp_path / "site")
    assert "damaged/predictions_test.npz is damaged" in caplog.text
    assert [run["run"] for run in data_of(tmp_path / "site", "parity")["runs"]] == ["alloys-whole"]


def test_same_records_give_the_same_site(tmp_path, results, pages_only):
    found = find_records([results / "oxides"])
    for name in ("one", "two"):
        write_site(found, tmp_path / name)
    one, two = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in files if file.is_file()}
        for name, files in ((name, (tmp_path / name).rglob("*")) for name in ("one", "two"))
    )
    assert one == two


def test_another_folder_is_refused_and_an_earlier_site_replaced(tmp_path):
    out = tmp_path / "site"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"not written by.*--out"), whole_folder(out, {}):
        pass
    assert [file.name for file in tmp_path.rglob("*")] == ["site", "thesis.tex"]
    (out / "thesis.tex").unlink()
    for text in ("first", "second"):  # into an empty folder, then over a site
        with whole_folder(out, {"runs": 1}) as folder:
            (folder / f"{text}.html").write_text(text)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["second.html", "site", MARK]


def test_after_an_error_the_earlier_site_is_as_it_was(tmp_path):
    out = tmp_path / "site"
    with whole_folder(out, {}) as folder:
        (folder / "index.html").write_text("complete")

    def interrupted():
        with whole_folder(out, {}) as folder:
            (folder / "index.html").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (out / "index.html").read_text() == "complete"
    assert [file.name for file in tmp_path.iterdir()] == ["site"]


def test_command_writes_a_site_and_says_where(tmp_path, capsys, pages_only):
    write(tmp_path / "runs" / "failed", record("failed"))
    out = tmp_path / "site"
    assert main(["report", str(tmp_path / "runs"), "--out", str(out), "--title", "A & B"]) == 0
    assert "1 runs written" in capsys.readouterr().out
    assert "A &amp; B" in (out / "index.html").read_text("utf-8")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "other")]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nowhere")]) == 2


def test_missing_plotly_is_an_error_that_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    write(tmp_path / "runs" / "failed", record("failed"))
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "site")]) == 2
    assert "sus2bench[report]" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()
