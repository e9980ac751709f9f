"""Experiments with features. `unmix.experiments.steering` compares directions by what they make a model say."""
