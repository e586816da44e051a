/* The steps of a transformer over tokens, for one path.
 *
 * Pre-norm blocks of causal attention and a perceptron with quick Gaussian error linear units;
 * nn/transformer.py and jukebox/code_transformer.py are the same in torch and are what tests hold
 * this equal to:
 *
 *     x = what the token before is + position + condition
 *     x += attention(norm(x)), x += perceptron(norm(x))       every layer
 *     logits = W (norm(x) + condition)                        norm and condition where there are any
 *
 * Steps that are worked on together are called entries: one of every row when symbols are drawn;
 * several neighbours of every row when they are known, as far as the row of the context's table
 * goes, since within it no entry needs what another one gathers. All entries go through a layer
 * together, so that its weights are read once.
 */
#include <stdlib.h>

#include "transformer.h"

#include "attention.h"

#define MOST_ENTRIES 32

/* Working memory of one call; everything but `scores` and the draw is per entry and padded. */
struct workplace {
    void *block;
    float *x, *normed;        /* width */
    float *projected;         /* queries, keys, values */
    float *gathered;          /* inner */
    float *hidden;            /* hidden */
    float *logits;            /* logits, and a vector more after the last */
    float *scores;            /* the longest line */
    float *chances;           /* logits, and a vector more */
    int32_t *heap;            /* logits */
    float *scales;            /* 2, of `bytes` */
    int8_t *bytes;            /* the widest: a vector on its way into a product */
};

static int64_t longest_line(const struct transformer *net, const struct transformer_state *state) {
    int64_t longest = state->memory;
    for (int64_t i = 0; i < net->layers; i++)
        longest = net->layer[i].slots > longest ? net->layer[i].slots : longest;
    return longest + RITORNELLO_PAD;
}

static int64_t widest(const struct transformer *net) {
    int64_t widest = net->width;
    widest = net->inner > widest ? net->inner : widest;
    return net->hidden > widest ? net->hidden : widest;
}

/* The next `floats` of a block, at a whole number of cache lines. */
static float *take(char **at, int64_t floats) {
    float *taken = (float *)*at;
    *at += (floats + 15) / 16 * 64;
    return taken;
}

static int make_workplace(struct workplace *w, const struct transformer *net,
                          const struct transformer_state *state, int64_t entries) {
    const int64_t lines = longest_line(net, state), bytes = entries * widest(net);
    const int64_t wide = 2 * net->width + 4 * net->inner + net->hidden + net->logits;
    const int64_t floats = entries * (wide + 2) + lines + 3 * (net->logits + RITORNELLO_PAD);
    w->block = malloc((size_t)(4 * floats + bytes + 64 * 12));
    if (!w->block)
        return 1;
    char *at = (char *)(((uintptr_t)w->block + 63) / 64 * 64);
    w->x = take(&at, entries * net->width);
    w->normed = take(&at, entries * net->width);
    w->projected = take(&at, entries * 3 * net->inner);
    w->gathered = take(&at, entries * net->inner);
    w->hidden = take(&at, entries * net->hidden);
    w->logits = take(&at, entries * net->logits + RITORNELLO_PAD);
    w->scores = take(&at, lines);
    w->chances = take(&at, net->logits + RITORNELLO_PAD);
    w->heap = (int32_t *)take(&at, net->logits);
    w->scales = take(&at, 2 * entries);
    w->bytes = (int8_t *)at;
    /* What pads the heads is never written: it must be zero from the start. */
    memset(w->gathered, 0, (size_t)(entries * net->inner) * sizeof(float));
    return 0;
}

/* ------------------------------------------------------------------ parts of a layer */

/* to = (x - mean) / sqrt(variance + 1e-5) * gain + bias, over the plain width. */
static void normalise(const float *x, const float *gains_and_biases, float *to, int width,
                      int plain) {
    const float *gains = gains_and_biases, *biases = gains_and_biases + width;
    const int whole = plain / LANES * LANES;
    vec sums = SPLAT(0.0f), squares = SPLAT(0.0f);
    for (int i = 0; i < width; i += LANES)
        sums += load(x + i); /* the padding is zero */
    const float mean = sum_of(sums) / (float)plain;
    for (int i = 0; i < whole; i += LANES) {
        const vec off = load(x + i) - SPLAT(mean);
        squares += off * off;
    }
    float square = sum_of(squares);
    for (int i = whole; i < plain; i++)
        square += (x[i] - mean) * (x[i] - mean);
    const vec scale = SPLAT(1.0f / sqrtf(square / (float)plain + 1e-5f));
    for (int i = 0; i < width; i += LANES)
        store(to + i, (load(x + i) - SPLAT(mean)) * scale * load(gains + i) + load(biases + i));
}

static void normalise_all(const struct transformer *net, const float *norm, struct workplace *w,
                          int64_t entries) {
    for (int64_t entry = 0; entry < entries; entry++)
        normalise(w->x + entry * net->width, norm, w->normed + entry * net->width, net->width,
                  net->plain_width);
}

/* y[entry] += bias + W x[entry]; `is_int8` when W is in bytes. */
static void add_linear(struct linear linear, int is_int8, int is_half, struct floats x, int inputs,
                       struct floats y, int outputs, struct workplace *w, int64_t entries) {
    const struct matrix matrix = {linear.weights, linear.scales, inputs, outputs, is_half};
    for (int64_t entry = 0; entry < entries; entry++)
        for (int i = 0; i < outputs; i += LANES) {
            float *to = y.values + entry * y.stride + i;
            store(to, load(to) + load(linear.bias + i));
        }
    if (is_int8) {
        const struct bytes rounded = {w->bytes, w->scales, inputs};
        to_bytes(x, rounded, inputs, entries);
        add_byte_product(matrix, rounded, y, entries);
    } else {
        add_float_product(matrix, x, y, entries);
    }
}

INLINE void clear(float *values, int64_t count) {
    memset(values, 0, (size_t)count * sizeof(float));
}

static void run_attention(const struct transformer *net, const struct transformer_state *state,
                          int64_t index, struct workplace *w, int64_t each) {
    const struct transformer_layer *layer = net->layer + index;
    const int outputs = layer->pattern == MEMORY ? net->inner : 3 * net->inner;
    const int64_t entries = state->rows * each;
    const struct floats x = {w->x, net->width}, normed = {w->normed, net->width};
    const struct floats projected = {w->projected, outputs}, gathered = {w->gathered, net->inner};
    normalise_all(net, layer->norm_attention, w, entries);
    clear(w->projected, entries * outputs);
    add_linear(layer->project, net->is_int8, net->is_half, normed, net->width, projected, outputs, w,
               entries);
    for (int64_t entry = 0; entry < entries; entry++) {
        const struct look look =
            look_of(layer, state->step + entry % each, net->block_length, state->memory);
        remember(net, state, index, entry / each, look, w->projected + entry * outputs);
    }
    for (int64_t entry = 0; entry < entries; entry++) {
        const struct look look =
            look_of(layer, state->step + entry % each, net->block_length, state->memory);
        attend(net, state, index, entry / each, look, w->projected + entry * outputs, w->scores,
               w->gathered + entry * net->inner);
    }
    add_linear(layer->out, net->is_int8, net->is_half, gathered, net->inner, x, net->width, w,
               entries);
}

static void run_mlp(const struct transformer *net, int64_t index, struct workplace *w,
                    int64_t entries) {
    const struct transformer_layer *layer = net->layer + index;
    const struct floats x = {w->x, net->width}, normed = {w->normed, net->width};
    const struct floats hidden = {w->hidden, net->hidden};
    normalise_all(net, layer->norm_mlp, w, entries);
    clear(w->hidden, entries * net->hidden);
    add_linear(layer->enter, net->is_int8, net->is_half, normed, net->width, hidden, net->hidden, w,
               entries);
    for (int64_t i = 0; i < entries * net->hidden; i += LANES)
        store(w->hidden + i, quick_gelu_of(load(w->hidden + i)));
    add_linear(layer->leave, net->is_int8, net->is_half, hidden, net->hidden, x, net->width, w,
               entries);
}

/* ------------------------------------------------------------------ a step */

INLINE void add(float *to, const float *values, int64_t width) {
    for (int64_t i = 0; i < width; i += LANES)
        store(to + i, load(to + i) + load(values + i));
}

/* Adds to every entry of `to` what is told of its step. */
static void add_conditions(const struct transformer *net, const struct transformer_state *state,
                           float *to, int64_t each) {
    for (int64_t entry = 0; state->told && entry < state->rows * each; entry++) {
        const int64_t at = entry / each * state->told + state->step + entry % each;
        add(to + entry * net->width, state->conditions + at * net->width, net->width);
    }
}

/* The bottom of the trunk: what stands before each entry, its position, and what is told. */
static void embed(const struct transformer *net, const struct transformer_state *state,
                  const struct transformer_call *call, int64_t t, int64_t each,
                  struct workplace *w) {
    const int64_t width = net->width;
    for (int64_t row = 0; row < state->rows; row++)
        for (int64_t i = 0; i < each; i++) {
            float *x = w->x + (row * each + i) * width;
            const int64_t before =
                i ? call->given[row * call->steps + t + i - 1] : state->previous[row];
            const float *from = before < 0 ? state->start + row * width : net->table + before * width;
            memcpy(x, from, (size_t)width * sizeof(float));
            add(x, net->positions + (state->step + i) * width, width);
        }
    add_conditions(net, state, w->x, each);
}

static void find_logits(const struct transformer *net, const struct transformer_state *state,
                        int64_t each, struct workplace *w) {
    const int64_t entries = state->rows * each;
    const struct floats logits = {w->logits, net->logits};
    struct floats x = {w->x, net->width};
    if (net->norm) {
        normalise_all(net, net->norm, w, entries);
        x.values = w->normed;
    }
    if (net->hears_twice)
        add_conditions(net, state, x.values, each);
    clear(w->logits, entries * net->logits);
    add_linear(net->symbol_of, 0, net->is_half, x, net->width, logits, net->logits, w, entries);
}

/* Draws a symbol for every song, from logits that are there for every row. */
static void draw_all(const struct transformer *net, const struct transformer_state *state,
                     const struct transformer_call *call, int64_t t, struct workplace *w) {
    const struct lots lots = {w->chances, w->heap, call->temperature, call->top_p};
    const int64_t each = call->is_guided ? 2 : 1;
    for (int64_t song = 0; song < state->rows / each; song++) {
        float *logits = w->logits + song * each * net->logits;
        if (call->is_guided)
            for (int i = 0; i < net->logits; i++) {
                const float untold = logits[net->logits + i];
                logits[i] = untold + (float)call->guidance * (logits[i] - untold);
            }
        const int64_t symbol = call->first + draw(logits + call->first, net->symbols - call->first,
                                                  lots, call->uniforms[song * call->steps + t]);
        call->drawn[song * call->steps + t] = symbol;
        for (int64_t row = song * each; row < (song + 1) * each; row++)
            state->previous[row] = symbol;
    }
}

/* Keeps the logits of given symbols if they are wanted. */
static void tell_all(const struct transformer *net, const struct transformer_state *state,
                     const struct transformer_call *call, int64_t t, int64_t each,
                     struct workplace *w) {
    for (int64_t row = 0; row < state->rows; row++) {
        const int64_t at = row * call->steps + t;
        for (int64_t i = 0; call->logits && i < each; i++)
            memcpy(call->logits + (at + i) * net->symbols,
                   w->logits + (row * each + i) * net->logits,
                   (size_t)net->symbols * sizeof(float));
        state->previous[row] = call->given[at + each - 1];
    }
}

/* Steps of every row that can be made together. */
static int64_t steps_at_once(const struct transformer *net, const struct transformer_state *state,
                             const struct transformer_call *call, int64_t t) {
    int64_t steps = MOST_ENTRIES / state->rows;
    const int64_t in_row = net->block_length - state->step % net->block_length;
    if (!call->given || steps < 1)
        return 1;
    steps = in_row < steps ? in_row : steps;
    return call->steps - t < steps ? call->steps - t : steps;
}

int PATH(ritornello_transformer)(const struct transformer *net, struct transformer_state *state,
                                 const struct transformer_call *call) {
    struct workplace w;
    const int64_t most = state->rows > MOST_ENTRIES ? state->rows : MOST_ENTRIES;
    if (make_workplace(&w, net, state, most))
        return 1;
    for (int64_t t = 0; t < call->steps;) {
        const int64_t each = steps_at_once(net, state, call, t);
        embed(net, state, call, t, each, &w);
        for (int64_t layer = 0; layer < net->layers; layer++) {
            run_attention(net, state, layer, &w, each);
            run_mlp(net, layer, &w, state->rows * each);
        }
        if (!call->given || call->logits)
            find_logits(net, state, each, &w);
        if (call->given)
            tell_all(net, state, call, t, each, &w);
        else
            draw_all(net, state, call, t, &w);
        state->step += each;
        t += each;
    }
    free(w.block);
    return 0;
}
