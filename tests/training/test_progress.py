"""Without a terminal a run prints lines and no control characters."""

import re

from train_here import train

from sus2bench.training.progress import ProgressBar


def test_lines_without_a_terminal(tmp_path, capsys):
    train(tmp_path, steps=7, extra=[ProgressBar(line_seconds=0.0)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 8
    assert re.fullmatch(r"step 7  100 %  loss \S+  valid \S+  E \S+ meV/atom  F .*GPa", lines[-1])
    assert not any("\x1b" in line for line in lines)


def test_a_bar_in_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    train(tmp_path, steps=7, extra=[ProgressBar(refresh_seconds=0.0)])
    output = capsys.readouterr().err
    assert "\x1b" in output
    assert "meV/atom" in output
