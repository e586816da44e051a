/* Matrix times the vectors of several streams: y[row] += W x[row], in floats and in bytes.
 *
 * Floats may be stored as half floats, which is exact for weights that came from half precision and
 * reads half the memory: that, not arithmetic, is what one stream waits for.
 *
 * W is packed in panels of PANEL outputs (see wavenet.h). Up to MAX_ROWS streams share one reading
 * of a panel. The sum over inputs is made in four quarters, added in order: one stream works on all
 * four at once, which hides the latency of the additions, many streams on one after another. So
 * that a stream gets the same bits alone and in any company.
 */
#define PANEL (2 * LANES)

struct matrix {
    const void *weights;
    const float *scales; /* of every output, for bytes */
    int inputs, outputs; /* padded */
    int is_half;
};

/* Streams' vectors: floats, or bytes with a scale and the sum of the bytes for each row. */
struct floats {
    float *values;
    int64_t stride; /* from row to row */
};
struct bytes {
    int8_t *values;
    float *scales; /* (rows, 2) */
    int64_t stride;
};

/* ------------------------------------------------------------------ floats */

INLINE vec load_weights(const void *from, int64_t at, const int is_half) {
    if (is_half)
        return (vec)LOAD_HALF((const uint16_t *)from + at);
    return load((const float *)from + at);
}

INLINE void float_panel(const void *weights, int inputs, struct floats x, struct floats y,
                        const int is_half, const int rows, const int at_once) {
    const int quarter = inputs / 4;
    vec total[MAX_ROWS][2];
    for (int q = 0; q < 4; q += at_once) {
        vec sums[4][MAX_ROWS][2];
#pragma GCC unroll 16
        for (int k = 0; k < at_once; k++)
#pragma GCC unroll 16
            for (int row = 0; row < rows; row++)
                sums[k][row][0] = sums[k][row][1] = SPLAT(0.0f);
        for (int i = 0; i < quarter; i++) {
#pragma GCC unroll 16
            for (int k = 0; k < at_once; k++) {
                const int64_t input = (int64_t)(q + k) * quarter + i;
                const vec w0 = load_weights(weights, input * PANEL, is_half);
                const vec w1 = load_weights(weights, input * PANEL + LANES, is_half);
#pragma GCC unroll 16
                for (int row = 0; row < rows; row++) {
                    const vec value = SPLAT(x.values[row * x.stride + input]);
                    sums[k][row][0] += w0 * value;
                    sums[k][row][1] += w1 * value;
                }
            }
        }
#pragma GCC unroll 16
        for (int k = 0; k < at_once; k++)
#pragma GCC unroll 16
            for (int row = 0; row < rows; row++)
                for (int half = 0; half < 2; half++)
                    total[row][half] =
                        q + k ? total[row][half] + sums[k][row][half] : sums[k][row][half];
    }
#pragma GCC unroll 16
    for (int row = 0; row < rows; row++)
        for (int half = 0; half < 2; half++) {
            float *to = y.values + row * y.stride + half * LANES;
            store(to, load(to) + total[row][half]);
        }
}

INLINE void add_panels(struct matrix w, struct floats x, struct floats y, int64_t rows,
                       const int is_half) {
    const char *weights = w.weights;
    const int64_t panel_size = (int64_t)PANEL * w.inputs * (is_half ? 2 : 4);
    for (int out = 0; out < w.outputs; out += PANEL, weights += panel_size) {
        struct floats from = x, to = {y.values + out, y.stride};
        int64_t left = rows;
        while (left > 0) {
            int done = 1;
#if MAX_ROWS >= 8
            if (left >= 8)
                float_panel(weights, w.inputs, from, to, is_half, done = 8, 1);
            else
#endif
                if (left >= 4)
                float_panel(weights, w.inputs, from, to, is_half, done = 4, 1);
            else if (left >= 2)
                float_panel(weights, w.inputs, from, to, is_half, done = 2, 2);
            else
                float_panel(weights, w.inputs, from, to, is_half, 1, 4);
            from.values += done * from.stride;
            to.values += done * to.stride;
            left -= done;
        }
    }
}

static void add_float_product(struct matrix w, struct floats x, struct floats y, int64_t rows) {
    if (w.is_half)
        add_panels(w, x, y, rows, 1);
    else
        add_panels(w, x, y, rows, 0);
}

/* ------------------------------------------------------------------ bytes */

/* Rounds rows to bytes, each with a scale of its own: the largest value becomes 127. */
static void to_bytes(struct floats x, struct bytes q, int64_t width, int64_t rows) {
    const vec rounder = SPLAT(12582912.0f); /* adding it rounds to whole numbers, in the low bits */
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x.values + row * x.stride;
        int8_t *to = q.values + row * q.stride;
        const float largest = largest_of(from, width, 1e-30f, 1);
        const vec scale = SPLAT(127.0f / largest);
        ints sums = {0};
        for (int64_t i = 0; i < width; i += LANES) {
            const ints whole = (ints)(load(from + i) * scale + rounder) - (ints)rounder;
            sums += whole;
            *(loose_bytes *)(to + i) = __builtin_convertvector(whole, loose_bytes);
        }
        int32_t sum = 0;
        for (int lane = 0; lane < LANES; lane++)
            sum += sums[lane];
        q.scales[2 * row] = largest / 127.0f;
        q.scales[2 * row + 1] = (float)sum;
    }
}

INLINE ints load_ints(const uint8_t *from) { return (ints) * (const loose_ints *)from; }

INLINE void byte_panel(const uint8_t *weights, int inputs, const float *scales, struct bytes x,
                       struct floats y, const int rows, const int at_once) {
    const int quarter = inputs / 16; /* groups of four bytes in a quarter */
    ints total[MAX_ROWS][2];
    for (int q = 0; q < 4; q += at_once) {
        ints sums[4][MAX_ROWS][2];
#pragma GCC unroll 16
        for (int k = 0; k < at_once; k++)
#pragma GCC unroll 16
            for (int row = 0; row < rows; row++)
                sums[k][row][0] = sums[k][row][1] = (ints){0};
        for (int i = 0; i < quarter; i++) {
#pragma GCC unroll 16
            for (int k = 0; k < at_once; k++) {
                const int64_t group = (int64_t)(q + k) * quarter + i;
                const ints w0 = load_ints(weights + group * 4 * PANEL);
                const ints w1 = load_ints(weights + group * 4 * PANEL + 4 * LANES);
#pragma GCC unroll 16
                for (int row = 0; row < rows; row++) {
                    const int8_t *four = x.values + row * x.stride + 4 * group;
                    sums[k][row][0] = ADD_FOURS(sums[k][row][0], w0, four);
                    sums[k][row][1] = ADD_FOURS(sums[k][row][1], w1, four);
                }
            }
        }
#pragma GCC unroll 16
        for (int k = 0; k < at_once; k++)
#pragma GCC unroll 16
            for (int row = 0; row < rows; row++)
                for (int half = 0; half < 2; half++)
                    total[row][half] =
                        q + k ? total[row][half] + sums[k][row][half] : sums[k][row][half];
    }
#pragma GCC unroll 16
    for (int row = 0; row < rows; row++) {
        const int32_t raised = BYTE_OFFSET * (int32_t)x.scales[2 * row + 1];
        for (int half = 0; half < 2; half++) {
            float *to = y.values + row * y.stride + half * LANES;
            const vec whole = __builtin_convertvector(total[row][half] - raised, vec);
            const vec scale = load(scales + half * LANES) * SPLAT(x.scales[2 * row]);
            store(to, load(to) + whole * scale);
        }
    }
}

static void add_byte_product(struct matrix w, struct bytes x, struct floats y, int64_t rows) {
    const uint8_t *weights = w.weights;
    for (int out = 0; out < w.outputs; out += PANEL, weights += (int64_t)PANEL * w.inputs) {
        const float *scales = w.scales + out;
        struct bytes from = x;
        struct floats to = {y.values + out, y.stride};
        int64_t left = rows;
        while (left > 0) {
            int done = 1;
#if MAX_ROWS >= 8
            if (left >= 8)
                byte_panel(weights, w.inputs, scales, from, to, done = 8, 1);
            else
#endif
                if (left >= 4)
                byte_panel(weights, w.inputs, scales, from, to, done = 4, 1);
            else if (left >= 2)
                byte_panel(weights, w.inputs, scales, from, to, done = 2, 2);
            else
                byte_panel(weights, w.inputs, scales, from, to, 1, 4);
            from.values += done * from.stride;
            from.scales += 2 * done;
            to.values += done * to.stride;
            left -= done;
        }
    }
}
