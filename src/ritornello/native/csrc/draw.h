/* From logits to a symbol: softmax, nucleus, and the place of a uniform number in the sum.
 *
 * The symbol is the first whose cumulative probability, in the order of symbols and over what the
 * nucleus keeps, exceeds u times the sum of what is kept. Sums are made in doubles.
 */

/* How to draw, and room for it. */
struct lots {
    float *chances; /* of every symbol, and a vector more */
    int32_t *heap;  /* one per symbol */
    double temperature, top_p;
};

/* exp((logits - largest) / temperature), not normalised. Both may be read or written up to a vector
 * beyond the last symbol. */
static void soften(const float *logits, float *probabilities, int symbols, double temperature) {
    float largest = logits[0];
    for (int i = 1; i < symbols; i++)
        largest = logits[i] > largest ? logits[i] : largest;
    const vec sharpness = SPLAT((float)(1 / temperature)), top = SPLAT(largest);
    for (int i = 0; i < symbols; i += LANES) {
        vec scaled = (load(logits + i) - top) * sharpness;
        store(probabilities + i, exp_of(VECTOR_MAX(VECTOR_MIN(scaled, SPLAT(0.0f)), SPLAT(-87.0f))));
    }
}

/* Whether symbol a goes before b in the nucleus: the more probable, then the lower. */
INLINE int goes_before(const float *p, int32_t a, int32_t b) {
    return p[a] > p[b] || (p[a] == p[b] && a < b);
}

/* Moves the symbol at `at` down a heap until none below goes before it. */
static void sift_down(const float *p, int32_t *heap, int size, int at) {
    const int32_t moved = heap[at];
    for (int child = 2 * at + 1; child < size; child = 2 * at + 1) {
        if (child + 1 < size && goes_before(p, heap[child + 1], heap[child]))
            child++;
        if (!goes_before(p, heap[child], moved))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* Zeroes all but the most probable symbols whose sum reaches top_p. */
static void keep_nucleus(float *p, int32_t *heap, int symbols, double top_p) {
    double total = 0, kept = 0;
    for (int i = 0; i < symbols; i++) {
        heap[i] = i;
        total += p[i];
    }
    for (int at = symbols / 2 - 1; at >= 0; at--)
        sift_down(p, heap, symbols, at);
    int size = symbols;
    while (size > 0 && kept < top_p * total) {
        kept += p[heap[0]];
        heap[0] = heap[--size];
        if (size > 0)
            sift_down(p, heap, size, 0);
    }
    for (int i = 0; i < size; i++)
        p[heap[i]] = 0;
}

static int64_t pick(const float *p, int symbols, float uniform) {
    double total = 0, sum = 0;
    for (int i = 0; i < symbols; i++)
        total += p[i];
    const double bound = (double)uniform * total;
    for (int i = 0; i < symbols; i++) {
        sum += p[i];
        if (sum > bound)
            return i;
    }
    return symbols - 1; /* only when the logits were not numbers */
}

/* One symbol by its logits and a number in [0, 1). */
static int64_t draw(const float *logits, int symbols, struct lots lots, float uniform) {
    soften(logits, lots.chances, symbols, lots.temperature);
    if (lots.top_p < 1)
        keep_nucleus(lots.chances, lots.heap, symbols, lots.top_p);
    return pick(lots.chances, symbols, uniform);
}
