"""Tests of models of other packages, in environments of their own; `make test-external` runs both.

The extras `mace` and `equivariant` exclude each other and neither is in `.venv`. Each session has
its own list of versions, and an environment that is kept in `.nox/` and used again.
"""

import nox

nox.needs_version = ">=2025.2"
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "venv"


@nox.session(name="external-mace")
def external_mace(session: nox.Session) -> None:
    """MACE."""
    _test(session, "mace")


@nox.session(name="external-equivariant")
def external_equivariant(session: nox.Session) -> None:
    """NequIP, Allegro, SevenNet and MatGL."""
    _test(session, "equivariant", "matgl")


def _test(session: nox.Session, *extras: str) -> None:
    """Installs torch first, as `make install` does, so that a local build of it is taken."""
    constraints = f"constraints-{session.name}.txt"
    session.install("-c", constraints, "torch")
    session.install("-c", constraints, "-e", f".[{','.join(extras)},test]")
    tests = session.posargs or ["tests/external"]
    session.run("python", "-m", "pytest", "-q", *tests)
