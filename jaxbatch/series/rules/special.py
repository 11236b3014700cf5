"""Special functions: gamma and zeta functions, Bessel functions, the inverse error function, sinc.

Each is given by a differential equation or by its own expansion at x_0, composed with the series x. The sources are the
sections of the NIST Digital Library of Mathematical Functions (DLMF) that its rule names.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from jaxbatch.series.arithmetic import Arithmetic, Recurrence, Series, Value
from jaxbatch.series.interpreter import NoRule, register_rule
from jaxbatch.series.materialized import materialized
from jaxbatch.series.rules.elementary import OSCILLATION, exponential, mul, quotient
from jaxbatch.series.stable_derivatives import special as exact
from jaxbatch.series.stable_derivatives.bessel import ratios


def compose(arithmetic: Arithmetic, local: Float[Array, "orders ..."], x: Series) -> Series:
    """Σ_n local[n]·(x − x_0)^n, a function's expansion at x_0, by Horner's rule on series.

    For a line, x = x_0 + t·x_1, the coefficients are simply local[n]·x_1^n.

    Args:
        arithmetic: of the series.
        local: the coefficients of the expansion, [order + 1, …] with the shape of the values of ``x``.
        x: the series.
    """
    if arithmetic.degree(x) <= 1:
        slope = arithmetic.stack(x)[1] if arithmetic.degree(x) and arithmetic.order else jnp.zeros_like(local[0])
        order = jnp.arange(arithmetic.order + 1).reshape(-1, *(1,) * (local.ndim - 1))
        return arithmetic.unstack(local * slope[None] ** order)
    tail = arithmetic.dense(arithmetic.tail(x))

    def step(i: Array, total: Series) -> Series:
        n = arithmetic.order - i
        term = lax.dynamic_index_in_dim(local, n, 0, keepdims=False)
        return arithmetic.dense(arithmetic.shift(arithmetic.product(total, tail), term))

    start = arithmetic.dense(arithmetic.constant(local[-1]))
    return lax.fori_loop(1, arithmetic.order + 1, step, start)


def _column(numbers: Array, like: Array) -> Array:
    """One number per order [orders], shaped [orders, 1, …] to be broadcast against values shaped like ``like``."""
    return numbers.astype(like.dtype).reshape(-1, *(1,) * like.ndim)


def _zetas(arithmetic: Arithmetic, shift: Array, x: Array) -> Array:
    """Hurwitz' ζ(shift + n, x) for every order n, [order + 1, …]."""
    exponents = shift + _column(jnp.arange(arithmetic.order + 1), x)
    return exact.zeta(exponents, jnp.broadcast_to(x, exponents.shape))


def _signs(arithmetic: Arithmetic, like: Array) -> Array:
    return _column(1 - 2 * (jnp.arange(arithmetic.order + 1) % 2), like)


@register_rule("lgamma")
def lgamma(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """ln Γ(x_0 + h) = ln Γ(x_0) + ψ(x_0) h + Σ_{n≥2} (−1)^n ζ(n, x_0) h^n / n (DLMF 5.15.1, 25.11.12)."""
    start = arithmetic.value(x)
    order = jnp.maximum(_column(jnp.arange(arithmetic.order + 1), start), 1)
    local = _signs(arithmetic, start) * _zetas(arithmetic, jnp.zeros_like(start), start) / order
    local = local.at[0].set(exact.lgamma(start))
    return compose(arithmetic, local.at[1].set(exact.digamma(start)) if arithmetic.order else local, x)


@register_rule("digamma")
def digamma(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """ψ(x_0 + h) = ψ(x_0) − Σ_{n≥1} (−1)^n ζ(n + 1, x_0) h^n (DLMF 5.15.1, 25.11.12)."""
    start = arithmetic.value(x)
    local = -_signs(arithmetic, start) * _zetas(arithmetic, jnp.ones_like(start), start)
    return compose(arithmetic, local.at[0].set(exact.digamma(start)), x)


def _stop_derivative(parameter: Any, x: Array) -> tuple[Any, Array]:
    """A parameter with its derivative stopped, and ``x``, changed so that a derivative in the parameter is NaN."""
    return lax.stop_gradient(parameter), x + exact.undifferentiated(jnp.asarray(parameter, x.dtype))


@register_rule("polygamma")
def polygamma(arithmetic: Arithmetic, m: Value, x: Value) -> Series:
    """ψ^(m)(x_0 + h): coefficients (−1)^{m+n+1} (m + n)!/n! ζ(m + n + 1, x_0) (DLMF 5.15.1)."""
    if isinstance(m, Series) or not isinstance(x, Series):
        raise NoRule("the order of a polygamma function depends on t")
    m, start = _stop_derivative(m, arithmetic.value(x))
    value = exact.polygamma(jnp.broadcast_to(m, start.shape), start)
    leading = jnp.where(m == 0, -1.0, value / exact.zeta(jnp.where(m == 0, 2.0, m + 1) + jnp.zeros_like(start), start))
    local = leading * _signs(arithmetic, start) * _rising(arithmetic, m + 1, start)
    local = local * _zetas(arithmetic, m + jnp.ones_like(start), start)
    return compose(arithmetic, local.at[0].set(value), x)


@register_rule("zeta")
def zeta(arithmetic: Arithmetic, s: Value, q: Value) -> Series:
    """ζ(s, q_0 + h): coefficients (−1)^n s(s + 1)…(s + n − 1)/n! ζ(s + n, q_0) (DLMF 25.11.17)."""
    if isinstance(s, Series) or not isinstance(q, Series):
        raise NoRule("the exponent of a zeta function depends on t")
    s, start = _stop_derivative(s, arithmetic.value(q))
    s = jnp.broadcast_to(s, start.shape)
    local = _signs(arithmetic, start) * _rising(arithmetic, s, start) * _zetas(arithmetic, s, start)
    return compose(arithmetic, local, q)


def _rising(arithmetic: Arithmetic, first: Any, like: Array) -> Array:
    """Pochhammer's (first)_n/n! = first·(first + 1)…(first + n − 1)/n! for every order n (DLMF 5.2.4)."""
    n = _column(jnp.arange(1, arithmetic.order + 1), like)
    ratios = jnp.broadcast_to((first + n - 1) / n, (arithmetic.order, *like.shape))
    return jnp.cumprod(jnp.concatenate([jnp.ones_like(like)[None], ratios]), axis=0)


def _inverse_error(n: Any, sums: Any, first: Any, known: Any) -> Any:
    theta, slope = known
    z = slope * (first[3] * theta + sums[0])
    q = 2 * (first[0] * z + sums[1])
    return z / n, z, q, (first[3] * q + sums[2]) / n


INVERSE_ERROR = Recurrence(((3, 4), (0, 1), (2, 3)), _inverse_error)
"""θy = (√π/2) e·θx with e = exp(y²), θe = e·θ(y²), θ(y²) = 2y·θy. The unknown series are y, θy, θ(y²) and e."""


@register_rule("erf_inv")
def erf_inv(arithmetic: Arithmetic, x: Series) -> Series:
    """By :data:`INVERSE_ERROR`, from the derivative of erf (DLMF 7.2.1)."""
    y = materialized(lax.erf_inv(arithmetic.value(x)))
    zero = jnp.zeros_like(y)
    slope = jnp.full_like(y, 0.5 * jnp.pi**0.5)
    return arithmetic.recur(
        INVERSE_ERROR, [y, zero, zero, materialized(jnp.exp(y * y))], [arithmetic.theta(x)], [slope]
    )[0]


@register_rule("bessel_i0e")
def bessel_i0e(arithmetic: Arithmetic, x: Series) -> Series:
    """exp(−|x|) I_0(x)."""
    return _scaled_bessel(arithmetic, x, 0)


@register_rule("bessel_i1e")
def bessel_i1e(arithmetic: Arithmetic, x: Series) -> Series:
    """exp(−|x|) I_1(x)."""
    return _scaled_bessel(arithmetic, x, 1)


def _scaled_bessel(arithmetic: Arithmetic, x: Series, kind: int) -> Series:
    """exp(−|x|) I_ν(x), ν = ``kind``: the expansion of exp(−|x_0|) I_ν at x_0, times exp(∓(x − x_0)).

    At 0 it is the expansion from the right, as the rule of |x| is, so that exp(|x|)·exp(−|x|) I_ν is smooth there as
    I_ν is.
    """
    start = arithmetic.value(x)
    plain = compose(arithmetic, _bessel_expansion(arithmetic, start, kind), x)
    decay = arithmetic.times(arithmetic.tail(x), jnp.where(start < 0, 1.0, -1.0).astype(start.dtype))
    scaled = mul(arithmetic, plain, exponential(arithmetic, decay, jnp.ones_like(start)))
    return arithmetic.with_value(scaled, exact.bessel(kind, start))


def bessel_i0(arithmetic: Arithmetic, x: Series) -> Series:
    """I_0(x), by the expansion of exp(−|x_0|) I_0 at x_0."""
    start = arithmetic.value(x)
    local = jnp.exp(jnp.abs(start)) * _bessel_expansion(arithmetic, start, 0)
    return arithmetic.with_value(compose(arithmetic, local, x), exact.unscaled_bessel(0, start))


def _bessel_expansion(arithmetic: Arithmetic, x: Array, kind: int) -> Array:
    """exp(−|x|) I_ν^(n)(x)/n!: from 2 I_ν' = I_{ν−1} + I_{ν+1} (DLMF 10.29.1), where nothing is subtracted."""
    order = arithmetic.order
    top = order + kind + 1
    positive = jnp.cumprod(jnp.concatenate([exact.bessel(0, x)[None], ratios(x, top)]), axis=0)
    # I_{−ν} = I_ν, and I_ν(−x) = (−1)^ν I_ν(x): orders −top … top in one table.
    odd = jnp.where(x < 0, -1.0, 1.0).astype(x.dtype)
    parity = jnp.stack([odd if nu % 2 else jnp.ones_like(odd) for nu in range(top + 1)])
    table = jnp.concatenate([(positive * parity)[:0:-1], positive * parity])

    def differentiate(table: Array, n: Array) -> tuple[Array, Array]:
        now = table[top + kind]
        raised = jnp.zeros_like(table).at[1:-1].set((table[:-2] + table[2:]) / (2 * (n + 1).astype(x.dtype)))
        return raised, now

    _, local = lax.scan(differentiate, table, jnp.arange(order + 1))
    return local


@register_rule("sinc")
def sinc(arithmetic: Arithmetic, x: Series) -> Series:
    """sin(πx)/(πx): the Maclaurin series moved to u_0 = πx_0 where |u_0| < 2, elsewhere the quotient.

    Near 0 the quotient would multiply rounding errors by 1/u_0 with every order.
    """
    u = arithmetic.times(x, jnp.pi)
    start = arithmetic.value(u)
    small = jnp.abs(start) < 2
    near = compose(arithmetic, _sinc_expansion(arithmetic, jnp.where(small, start, 0.0)), u)
    safe = arithmetic.with_value(u, jnp.where(small, 2.0, start))
    first = list(exact.half_turns(jnp.where(small, 2 / jnp.pi, arithmetic.value(x))))
    sine = arithmetic.recur(OSCILLATION[-1], first, [arithmetic.theta(safe)])[0]
    far = quotient(arithmetic, sine, safe)
    terms = jnp.where(small, arithmetic.stack(near), arithmetic.stack(far))
    return arithmetic.with_value(arithmetic.unstack(terms), exact.sinc(0, arithmetic.value(x)))


def _sinc_expansion(arithmetic: Arithmetic, u: Array) -> Array:
    """Σ_k (−1)^k/(2k + 1)! C(2k, n) u^{2k−n} for every order n: the derivatives of Σ (−1)^k u^{2k}/(2k + 1)!."""
    top = arithmetic.order + 42
    power = jnp.arange(top)
    even = power % 2 == 0
    sign = jnp.where(even, 1 - 2 * ((power // 2) % 2), 0)
    factor = _column(sign, u) * jnp.exp(-lax.lgamma(_column(power + 2, u)))

    def row(coefficients: Array, n: Array) -> tuple[Array, Array]:
        """``coefficients[p]`` belong to u^p in the n-th derivative over n!."""
        value = jnp.zeros_like(u)
        value, _ = lax.scan(lambda total, c: (total * u + c, None), value, coefficients[::-1])
        raised = coefficients[1:] * _column(power[1:], u) / (n + 1).astype(u.dtype)
        return jnp.concatenate([raised, jnp.zeros_like(raised[:1])]), value

    _, local = lax.scan(row, jnp.broadcast_to(factor, (top, *u.shape)), jnp.arange(arithmetic.order + 1))
    return local
