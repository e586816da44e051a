/* Attention of one step: where its key and value go, and what its query gathers.
 *
 * A cache is made of lines, and a step reads the beginning of one line: the row so far, a column, the
 * row before, all steps, the memory. In a line keys lie turned, so that a vector holds one value of
 * LANES keys, and values lie one after another: neither reading has to add up across lanes.
 */

/* Slot of a line that a step writes (-1: none), and the line and the slots that it reads. */
struct look {
    int64_t line_written, written, line, seen;
};

static struct look look_of(const struct transformer_layer *layer, int64_t step, int64_t length,
                           int64_t memory) {
    const int64_t row = step / length, column = step % length;
    switch (layer->pattern) {
    case ROW:
        return (struct look){0, column, 0, column + 1};
    case COLUMN:
        return (struct look){column, row, column, row + 1};
    case PREVIOUS_ROW:
        return (struct look){row % 2, column, (row + 1) % 2, length};
    case SUMMARY:
        return (struct look){0, column == length - 1 ? row + 1 : -1, 0, row + 1};
    case DENSE:
        return step < layer->kept ? (struct look){0, step, 0, step + 1}
                                  : (struct look){0, -1, 0, layer->kept};
    default:
        return (struct look){0, -1, 0, memory};
    }
}

/* Scores of all slots up to `seen`, and a few more that mean nothing. */
INLINE void score(const float *query, const float *keys, int width, int64_t slots, int64_t seen,
                  float *scores) {
    for (int64_t at = 0; at < seen; at += PANEL) {
        vec low = SPLAT(0.0f), high = SPLAT(0.0f);
        for (int i = 0; i < width; i++) {
            const vec value = SPLAT(query[i]);
            low += load(keys + i * slots + at) * value;
            high += load(keys + i * slots + at + LANES) * value;
        }
        store(scores + at, low);
        store(scores + at + LANES, high);
    }
}

/* Scores become weights that add up to 1. */
INLINE void weigh(float *scores, int64_t seen, float scale) {
    const int64_t padded = (seen + LANES - 1) / LANES * LANES;
    for (int64_t i = seen; i < padded; i++)
        scores[i] = scores[0];
    const vec largest = SPLAT(largest_of(scores, padded, scores[0], 0));
    for (int64_t i = 0; i < padded; i += LANES) {
        const vec below = (load(scores + i) - largest) * SPLAT(scale);
        store(scores + i, exp_of(VECTOR_MAX(below, SPLAT(-87.0f))));
    }
    for (int64_t i = seen; i < padded; i++)
        scores[i] = 0;
    vec sums = SPLAT(0.0f);
    for (int64_t i = 0; i < padded; i += LANES)
        sums += load(scores + i);
    const vec share = SPLAT(1.0f / sum_of(sums));
    for (int64_t i = 0; i < padded; i += LANES)
        store(scores + i, load(scores + i) * share);
}

/* The weighed sum of values; four sums at once hide the latency of the additions. */
INLINE void gather(const float *weights, const float *values, int width, int64_t seen, float *to) {
    for (int at = 0; at < width; at += LANES) {
        vec sums[4] = {SPLAT(0.0f), SPLAT(0.0f), SPLAT(0.0f), SPLAT(0.0f)};
        int64_t i = 0;
        for (; i + 4 <= seen; i += 4)
            for (int k = 0; k < 4; k++)
                sums[k] += load(values + (i + k) * width + at) * SPLAT(weights[i + k]);
        for (; i < seen; i++)
            sums[0] += load(values + i * width + at) * SPLAT(weights[i]);
        store(to + at, (sums[0] + sums[1]) + (sums[2] + sums[3]));
    }
}

/* Where a head's keys and values of a line begin. */
struct cache {
    float *keys, *values;
    int64_t slots;
};

INLINE struct cache cache_of(const struct transformer *net, const struct transformer_state *state,
                             int64_t index, int64_t row, int64_t line, int64_t head) {
    const struct transformer_layer *layer = net->layer + index;
    const int64_t slots = layer->pattern == MEMORY
                              ? (state->memory + RITORNELLO_PAD - 1) / RITORNELLO_PAD * RITORNELLO_PAD
                              : layer->slots;
    const int64_t at = ((row * layer->lines + line) * net->heads + head) * slots;
    return (struct cache){state->keys[index] + at * net->plain_head,
                          state->values[index] + at * net->head, slots};
}

/* Puts a step's key and value where later steps look for them. */
static void remember(const struct transformer *net, const struct transformer_state *state,
                     int64_t index, int64_t row, struct look look, const float *projected) {
    if (look.written < 0)
        return;
    for (int64_t head = 0; head < net->heads; head++) {
        const struct cache to = cache_of(net, state, index, row, look.line_written, head);
        const float *key = projected + net->inner + head * net->head;
        for (int i = 0; i < net->plain_head; i++)
            to.keys[i * to.slots + look.written] = key[i];
        memcpy(to.values + look.written * net->head, key + net->inner,
               (size_t)net->head * sizeof(float));
    }
}

/* What a step's query gathers, all heads side by side; `scores` is room for one line. */
static void attend(const struct transformer *net, const struct transformer_state *state,
                   int64_t index, int64_t row, struct look look, const float *queries, float *scores,
                   float *to) {
    const float scale = 1.0f / sqrtf((float)net->plain_head);
    for (int64_t head = 0; head < net->heads; head++) {
        const struct cache from = cache_of(net, state, index, row, look.line, head);
        score(queries + head * net->head, from.keys, net->plain_head, from.slots, look.seen, scores);
        weigh(scores, look.seen, scale);
        gather(scores, from.values, net->head, look.seen, to + head * net->head);
    }
}
