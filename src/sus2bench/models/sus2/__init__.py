"""SUS2-MLIP: ultra-small moment tensor potentials with universal pair scaling."""

from sus2bench.models.sus2.conversion import potential_from_mtp, potential_to_mtp
from sus2bench.models.sus2.model import SUS2

__all__ = ["SUS2", "potential_from_mtp", "potential_to_mtp"]
