"""Sampling that systems of codes share; none is here yet."""
