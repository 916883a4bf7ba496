"""NEP: the neuroevolution potential of GPUMD, trained by gradient."""

from sus2bench.models.nep.file import potential_from_nep, potential_to_nep
from sus2bench.models.nep.model import NEP
from sus2bench.models.nep.repulsion import NEPRepulsion

__all__ = ["NEP", "NEPRepulsion", "potential_from_nep", "potential_to_nep"]
