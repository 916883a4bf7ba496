"""One function per figure; every figure is made from records alone."""
