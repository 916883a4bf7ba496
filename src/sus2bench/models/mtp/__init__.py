"""MTP: moment tensor potentials of levels 2 to 28, with the files of MLIP-2 and MLIP-3."""

from sus2bench.models.mtp.conversion import potential_from_mtp, potential_to_mtp
from sus2bench.models.mtp.model import MTP

__all__ = ["MTP", "potential_from_mtp", "potential_to_mtp"]
