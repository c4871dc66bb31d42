"""Chaos: a harness that breaks everything around the workers, and an auditor that believes none of them."""
