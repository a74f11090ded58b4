"""Quantizers that can be trained, one module for each kind; :mod:`tokbench.models.quantizers` builds them."""
