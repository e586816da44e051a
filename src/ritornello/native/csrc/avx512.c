/* The path for x86 processors with AVX-512 and VNNI (servers since 2019, Zen 4): sixteen floats,
 * or sixty-four products of bytes, at a time. */
#include <stdint.h>
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vnni,fma")
#endif

#include <immintrin.h>
#include <string.h>

#define LANES 16
#define MAX_ROWS 8
#define BYTE_OFFSET 128 /* the instruction wants weights >= 0: they are packed 128 higher */
#define PATH(name) name##_avx512
#define SPLAT(s) _mm512_set1_ps(s)
#define VECTOR_MIN(a, b) _mm512_min_ps(a, b)
#define VECTOR_MAX(a, b) _mm512_max_ps(a, b)
#define LOAD_HALF(from) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(from)))
#define ADD_FOURS(sums, weights, four) \
    ((ints)add_fours((__m512i)(sums), (__m512i)(weights), four))

/* Adds to every lane the products of its four weights with four inputs. */
static inline __attribute__((always_inline)) __m512i add_fours(__m512i sums, __m512i weights,
                                                               const int8_t *four) {
    int32_t together;
    memcpy(&together, four, 4);
    return _mm512_dpbusd_epi32(sums, weights, _mm512_set1_epi32(together));
}

#include "networks.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
