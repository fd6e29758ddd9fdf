"""Confidence intervals of shares."""

import polars as pl

Z = 1.959964
"""Standard errors of a 95 % interval."""


def wilson(share: pl.Expr, of: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The low and high end of the 95 % score interval of a share of `of` cases (Wilson, 1927); NaN without cases."""
    middle = (share + Z**2 / (2 * of)) / (1 + Z**2 / of)
    width = Z * (share * (1 - share) / of + Z**2 / (4 * of**2)).sqrt() / (1 + Z**2 / of)
    low, high = pl.min_horizontal(middle - width, share), pl.max_horizontal(middle + width, share)
    return low.clip(lower_bound=0), high.clip(upper_bound=1)  # rounding may pass these bounds, or the share itself
