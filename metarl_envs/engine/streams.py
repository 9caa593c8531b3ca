"""Random numbers from keyed streams: what a draw is depends on where it stands, never on what was drawn before.

A stream starts from (seed, purpose, time): the task of trial 3 from (seed, TASK, 3), the noise of its episode 2 from
(seed, EPISODE, 3, 2). Giving a task or acting otherwise therefore shifts no later draw, and two policies can be compared
on common random numbers. The generator is SplitMix64 (Steele, Lea & Flood 2014) with Stafford's variant 13 of the mixer.
"""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine.compiling.kernels import PLAIN, kernel

STREAM = np.dtype([("s", np.uint64)])

#: The purposes of streams. Two purposes never share a draw.
TASK, EPISODE, LEARNER, POOL, FAMILY, ADVICE, HISTORY, EVALUATION = 1, 2, 3, 4, 5, 6, 7, 8

# Casts: to machine words where kernels are compiled; Python's own numbers, which do not wrap, where they are not.
_word, _int, _float = (int, int, float) if PLAIN else (np.uint64, np.int64, np.float64)
_MASK = 2**64 - 1


if PLAIN:  # the same arithmetic in Python's unbounded integers

    def mix(z):
        """Scramble 64 bits (a bijection)."""
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        return z ^ (z >> 31)

    def bits(rng):
        """The next 64 random bits of a stream."""
        rng.s = (rng.s + 0x9E3779B97F4A7C15) & _MASK
        return mix(rng.s)

    def keyed(seed, purpose, time, part):
        """The start of the stream for one purpose at one time (trial) and part (episode, agent, attempt)."""
        z = mix((int(seed) + 0x9E3779B97F4A7C15 * int(purpose)) & _MASK)
        z = mix((z + 0xD1B54A32D192ED03 * int(time)) & _MASK)
        return mix((z + 0x8CB92BA72F3D8DD7 * int(part)) & _MASK)

else:

    @kernel
    def mix(z):
        """Scramble 64 bits (a bijection)."""
        z = (z ^ (z >> _word(30))) * _word(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> _word(27))) * _word(0x94D049BB133111EB)
        return z ^ (z >> _word(31))

    @kernel
    def bits(rng):
        """The next 64 random bits of a stream."""
        rng.s += _word(0x9E3779B97F4A7C15)
        return mix(rng.s)

    @kernel
    def keyed(seed, purpose, time, part):
        """The start of the stream for one purpose at one time (trial) and part (episode, agent, attempt)."""
        z = mix(_word(seed) + _word(0x9E3779B97F4A7C15) * _word(purpose))
        z = mix(z + _word(0xD1B54A32D192ED03) * _word(time))
        return mix(z + _word(0x8CB92BA72F3D8DD7) * _word(part))


@kernel
def uniform(rng):
    """A float64 uniform on [0, 1) with 53 random bits."""
    return _float(bits(rng) >> _word(11)) * (1.0 / 9007199254740992.0)


@kernel
def randint(rng, n):
    """An integer uniform on 0 .. n-1, for 1 <= n < 2**32 (Lemire's multiply-shift; bias below n / 2**32)."""
    return _int(((bits(rng) >> _word(32)) * _word(n)) >> _word(32))


@kernel
def normal(rng):
    """A standard normal (Box-Muller; always two draws, so streams stay aligned)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(rng)))
    return radius * math.cos(2.0 * math.pi * uniform(rng))


@kernel
def exponential(rng):
    """A standard exponential."""
    return -math.log(1.0 - uniform(rng))


@kernel
def gamma_of_one_or_more(rng, shape):
    """A Gamma(shape, 1) draw for shape >= 1."""
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(rng)
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            if math.log(1.0 - uniform(rng)) < 0.5 * x * x + d - d * v + d * math.log(v):
                return d * v


@kernel
def gamma(rng, shape):
    """A Gamma(shape, 1) draw for shape > 0 (Marsaglia & Tsang 2000; a shape below 1 by their power of a uniform)."""
    if shape < 1.0:
        return gamma_of_one_or_more(rng, shape + 1.0) * (1.0 - uniform(rng)) ** (1.0 / shape)
    return gamma_of_one_or_more(rng, shape)


@kernel
def log_gamma_draw(rng, shape):
    """The logarithm of the draw that `gamma` makes here, which for shapes near 0 is too small for a number of its own."""
    if shape < 1.0:
        return math.log(gamma_of_one_or_more(rng, shape + 1.0)) + math.log(1.0 - uniform(rng)) / shape
    return math.log(gamma_of_one_or_more(rng, shape))


@kernel
def log_odds_of_beta(rng, a, b):
    """log(x / (1 - x)) of a Beta(a, b) draw x for a, b > 0: it tells draws apart that all round to 0 or 1."""
    x = log_gamma_draw(rng, a)
    return x - log_gamma_draw(rng, b)


@kernel
def beta(rng, a, b):
    """A Beta(a, b) draw for a, b > 0."""
    if a >= 1.0 or b >= 1.0:
        x = gamma(rng, a)
        return x / (x + gamma(rng, b))
    odds = log_odds_of_beta(rng, a, b)  # where both are below 1, both gammas can be too small for a number
    small = math.exp(-abs(odds))
    return 1.0 / (1.0 + small) if odds > 0.0 else small / (1.0 + small)


@kernel
def clip(x, low, high):
    """`x` kept within [low, high]."""
    return min(max(x, low), high)
