"""Stand-in."""

import numpy as np
from jaxbatch.least_squares.double_double import DoubleDouble, two_product, summed, exponent_of, power_of_two
from jaxbatch.least_squares.sufficient import Statistic


def statistics_of(columns, lengths, weights=None, *, intercept):
    D = len(lengths)
    k = len(columns) + intercept
    hi = np.zeros((k, k, D))
    lo = np.zeros((k, k, D))
    ex = np.full((k, D), -1000, np.int32)
    w_ = np.zeros(D)
    mn = np.full(D, np.inf)
    mx = np.full(D, -np.inf)
    at = 0
    for d, n in enumerate(lengths):
        if n == 0:
            continue
        Z = np.stack([*([np.ones(n)] if intercept else []), *(c[at : at + n] for c in columns)])
        w = None if weights is None else weights[at : at + n]
        at += n
        y = Z[-1]
        with np.errstate(all="ignore"):
            e = exponent_of(np.abs(Z).max(1))
            S = Z * power_of_two(-e)[:, None]
            if w is not None:
                half = int(exponent_of(np.array(w.max())) + 1) >> 1
                v = w * power_of_two(np.array(-half)) ** 2
                e = e + half
            P = DoubleDouble(*two_product(S[:, None, :], S[None, :, :]))
            if w is not None:
                P = P * np.broadcast_to(v, P.high.shape)
            from jaxbatch.least_squares.double_double import mapped

            T = summed(mapped(lambda x: np.ascontiguousarray(np.moveaxis(x, -1, 0)), P))
        hi[..., d], lo[..., d], ex[:, d] = T.high, T.low, e
        w_[d] = n if w is None else w.sum()
        mn[d], mx[d] = y.min(), y.max()
    return Statistic(DoubleDouble(hi, lo), ex, np.asarray(lengths), w_, mn, mx, np.zeros(D))
