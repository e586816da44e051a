/* Vectors of one path, and the few functions of them that networks need.
 *
 * A path defines before it includes this file:
 *
 *     LANES                 floats in a vector
 *     SPLAT(s)              a vector of LANES times the float s
 *     VECTOR_MIN, _MAX      of two vectors
 *     LOAD_HALF(p)          a vector of LANES half floats, made floats
 *
 * Everything else is the compilers' generic vector arithmetic (GCC and clang), which any processor
 * can be compiled for.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float loose_vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef int32_t loose_ints __attribute__((vector_size(4 * LANES), aligned(1), may_alias));
typedef int8_t loose_bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

INLINE vec load(const float *from) { return (vec) * (const loose_vec *)from; }
INLINE void store(float *to, vec value) { *(loose_vec *)to = (loose_vec)value; }

/* exp(x) for x in [-87, 87], relative error below 3e-7: x = n ln 2 + r, exp(r) by its series. */
INLINE vec exp_of(vec x) {
    const vec rounder = SPLAT(12582912.0f); /* 1.5 * 2^23: adding it leaves n in the low bits */
    vec shifted = x * SPLAT(1.44269504f) + rounder;
    vec n = shifted - rounder;
    vec r = x - n * SPLAT(0.693359375f); /* ln 2 in two parts, the first of few bits */
    r = r - n * SPLAT(-2.12194440e-4f);
    vec sum = SPLAT(1.0f / 5040);
    sum = sum * r + SPLAT(1.0f / 720);
    sum = sum * r + SPLAT(1.0f / 120);
    sum = sum * r + SPLAT(1.0f / 24);
    sum = sum * r + SPLAT(1.0f / 6);
    sum = sum * r + SPLAT(0.5f);
    sum = sum * r + SPLAT(1.0f);
    sum = sum * r + SPLAT(1.0f);
    ints power = ((ints)shifted - (ints)rounder) << 23; /* 2^n, added to the exponent */
    return (vec)((ints)sum + power);
}

INLINE vec clamp(vec x, float limit) {
    return VECTOR_MAX(VECTOR_MIN(x, SPLAT(limit)), SPLAT(-limit));
}

/* tanh(a) * sigmoid(b) = (1 - A) / ((1 + A) (1 + B)), A = exp(-2 a), B = exp(-b).
 * Beyond the clamps both are at their limits to the last bit or within 5e-18. */
INLINE vec gate_of(vec a, vec b) {
    vec one = SPLAT(1.0f);
    vec exp_a = exp_of(clamp(a * SPLAT(-2.0f), 40.0f));
    vec exp_b = exp_of(clamp(b * SPLAT(-1.0f), 40.0f));
    return (one - exp_a) / ((one + exp_a) * (one + exp_b));
}

/* x * sigmoid(1.702 x), the quick Gaussian error linear unit. */
INLINE vec quick_gelu_of(vec x) {
    return x / (SPLAT(1.0f) + exp_of(clamp(x * SPLAT(-1.702f), 80.0f)));
}

INLINE float sum_of(vec x) {
    float lanes[LANES], sum = 0;
    store(lanes, x);
    for (int i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

INLINE vec absolute(vec x) { return (vec)((ints)x & 0x7fffffff); }

/* The largest of n values, n a multiple of LANES, at least `floor`. */
INLINE float largest_of(const float *x, int64_t n, float floor, int is_absolute) {
    vec best = SPLAT(floor);
    for (int64_t i = 0; i < n; i += LANES) {
        vec value = load(x + i);
        best = VECTOR_MAX(best, is_absolute ? absolute(value) : value);
    }
    float lanes[LANES], largest = floor;
    store(lanes, best);
    for (int i = 0; i < LANES; i++)
        largest = lanes[i] > largest ? lanes[i] : largest;
    return largest;
}
