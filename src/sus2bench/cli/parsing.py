"""How commands read their arguments, and how the program says what is wrong."""

import argparse
import os
import sys
import traceback
from typing import Any

USER_ERROR = 2


def fail(problem: str | Exception, code: int = USER_ERROR) -> int:
    """Say what is wrong on standard error, with the traceback when debugging."""
    if isinstance(problem, Exception):
        if os.environ.get("SUS2BENCH_DEBUG") == "1" or os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exception(problem)
        # The text of a KeyError is the repr of its argument.
        plain = isinstance(problem, KeyError) and len(problem.args) == 1
        problem = str(problem.args[0] if plain else problem) or type(problem).__name__
    print(f"sus2bench: error: {problem}".replace("\n", "\n  "), file=sys.stderr)
    return code


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors as the rest of the program does."""

    def error(self, message: str) -> Any:
        """Leave with the exit code of user errors."""
        raise SystemExit(fail(f"{message} (see {self.prog} --help)"))
