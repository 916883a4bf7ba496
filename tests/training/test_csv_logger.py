"""The CSV file of a run: complete, and continued by a resume."""

import csv

import pytest

from sus2bench.training.csv_logger import ROWS_IN_MEMORY, CSVLogger


def rows(logger):
    with logger.path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_columns_that_come_later_are_added(tmp_path):
    logger = CSVLogger(tmp_path)
    logger.begin(0)
    logger.log_metrics({"a": 1.5}, 1)
    logger.save()
    logger.log_metrics({"b": 0.1}, 2)
    logger.log_metrics({"a": 2.5}, 3)
    logger.finalize("success")
    assert rows(logger) == [
        {"step": "1", "a": "1.5", "b": ""},
        {"step": "2", "a": "", "b": "0.1"},
        {"step": "3", "a": "2.5", "b": ""},
    ]


def test_a_resume_drops_what_was_logged_after_the_checkpoint(tmp_path):
    logger = CSVLogger(tmp_path)
    logger.begin(0)
    for step in range(1, 6):
        logger.log_metrics({"a": step / 10}, step)
    logger.save()
    with logger.path.open("a") as file:
        file.write("torn")  # a row that a crash has cut short
    logger = CSVLogger(tmp_path)
    logger.begin(3)
    logger.log_metrics({"a": 9.0}, 4)
    logger.save()
    assert [(row["step"], row["a"]) for row in rows(logger)] == [
        ("1", "0.1"),
        ("2", "0.2"),
        ("3", "0.3"),
        ("4", "9.0"),
    ]


def test_a_new_run_begins_a_new_file(tmp_path):
    for value in (1.0, 2.0):
        logger = CSVLogger(tmp_path)
        logger.begin(0)
        logger.log_metrics({"a": value}, 1)
        logger.save()
    assert [row["a"] for row in rows(logger)] == ["2.0"]


def test_rows_reach_the_disk_without_being_asked(tmp_path):
    logger = CSVLogger(tmp_path)
    logger.begin(0)
    for step in range(ROWS_IN_MEMORY):
        logger.log_metrics({"a": 1.0}, step)
    assert len(rows(logger)) == ROWS_IN_MEMORY


def test_numbers_keep_all_digits(tmp_path):
    logger, value = CSVLogger(tmp_path), 0.1 + 0.2
    logger.begin(0)
    logger.log_metrics({"a": value}, 1)
    logger.save()
    assert float(rows(logger)[0]["a"]) == value


def test_a_logger_without_a_folder_says_so():
    with pytest.raises(ValueError, match="no folder"):
        _ = CSVLogger().path
