/* The path for any processor: plain C, four floats at a time where the compiler can. */
#define LANES 4
#define MAX_ROWS 4
#define BYTE_OFFSET 0
#define PATH(name) name##_scalar
#define SPLAT(s) splat(s)
#define VECTOR_MIN(a, b) choose_vec((a) < (b), a, b)
#define VECTOR_MAX(a, b) choose_vec((a) > (b), a, b)
#define LOAD_HALF(from) splat(0.0f * *(from)) /* never packed: see library.c */
#define ADD_FOURS(sums, weights, four) add_fours(sums, weights, four)

#include <stdint.h>
#include <string.h>

typedef float four_floats __attribute__((vector_size(16)));
typedef int32_t four_ints __attribute__((vector_size(16)));

static inline four_floats splat(float s) { return (four_floats){s, s, s, s}; }

static inline four_floats choose_vec(four_ints which, four_floats a, four_floats b) {
    return (four_floats)((which & (four_ints)a) | (~which & (four_ints)b));
}

/* Adds to every lane the products of its four weights with four inputs. */
static inline four_ints add_fours(four_ints sums, four_ints weights, const int8_t *four) {
    int8_t bytes[16];
    memcpy(bytes, &weights, sizeof bytes);
    for (int lane = 0; lane < 4; lane++)
        for (int i = 0; i < 4; i++)
            sums[lane] += bytes[4 * lane + i] * four[i];
    return sums;
}

#include "networks.h"
