"""What all moment tensor potentials share: moments, contractions, readout, files of the table.

A potential adds its radial functions R_mu(r; types) and how its numbers stand in a file.
"""

from sus2bench.models.moment_tensor.base import MomentTensorModel
from sus2bench.models.moment_tensor.contraction_table import ContractionTable

__all__ = ["ContractionTable", "MomentTensorModel"]
