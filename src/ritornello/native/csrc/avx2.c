/* The path for x86 processors with AVX2 and FMA (since about 2013): eight floats at a time. */
#include <stdint.h>
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#include <immintrin.h>
#include <string.h>

#define LANES 8
#define MAX_ROWS 4
#define BYTE_OFFSET 0
#define PATH(name) name##_avx2
#define SPLAT(s) _mm256_set1_ps(s)
#define VECTOR_MIN(a, b) _mm256_min_ps(a, b)
#define VECTOR_MAX(a, b) _mm256_max_ps(a, b)
#define LOAD_HALF(from) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from)))
#define ADD_FOURS(sums, weights, four) \
    ((ints)add_fours((__m256i)(sums), (__m256i)(weights), four))

/* Adds to every lane the products of its four weights with four inputs. The instruction wants one
 * side unsigned, so the weights' signs go over to the inputs; 2 * 127 * 127 fits in 16 bits. */
static inline __attribute__((always_inline)) __m256i add_fours(__m256i sums, __m256i weights,
                                                               const int8_t *four) {
    int32_t together;
    memcpy(&together, four, 4);
    const __m256i signed_inputs = _mm256_sign_epi8(_mm256_set1_epi32(together), weights);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), signed_inputs);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "networks.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
