"""Makes what the tests of several models of one package share importable by them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
