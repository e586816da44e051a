/* The steps of a causal WaveNet, for one path.
 *
 * Van den Oord et al. 2016, section 2; nn/wavenet.py is the same in torch and is what tests hold
 * this equal to. For every step and layer, with rings of past inputs in the state:
 *
 *     h = bias + sum over taps of W_tap x[t - ...]      bias: the layer's own and a condition's
 *     z = tanh(h first half) * sigmoid(h second half)
 *     [x, skip] += W_onward z, x += bias                one matrix, one buffer: `flow`
 *
 * then the head, relu - linear - relu - linear, and the draw. All streams of a call go through a
 * layer together, so that its weights are read once.
 */
#include <stdlib.h>

#include "wavenet.h"

/* Working memory of one call; every row of a stream is padded. */
struct scratch {
    void *block;
    float *held;      /* (layers, rows, gates) biases of the current frame, the layers' own added */
    float *flow;      /* (rows, residual + skip) */
    float *gates;     /* (rows, 2 * inner) */
    float *inner;     /* (rows, inner) */
    float *hidden;    /* (rows, skip) */
    float *logits;    /* (rows, logits) */
    float *chances;   /* (logits,) */
    int32_t *heap;    /* (logits,) */
    float *scales;    /* (rows, 2) of `bytes` */
    int8_t *bytes;    /* (rows, residual or inner) a vector on its way into a product */
};

static int64_t wider(const struct wavenet *net) {
    return net->residual > net->inner ? net->residual : net->inner;
}

/* One block for all of it, every part at a whole number of cache lines. */
static int make_scratch(struct scratch *s, const struct wavenet *net, int64_t rows) {
    const int64_t gates = 2 * (int64_t)net->inner, pad = RITORNELLO_PAD;
    const int64_t scales = (2 * rows + pad - 1) / pad * pad;
    const int64_t floats = net->layers * rows * gates + rows * (net->residual + net->skip) +
                           rows * (gates + net->inner + net->skip + net->logits) +
                           2 * (int64_t)net->logits + scales;
    s->block = malloc((size_t)(4 * floats + rows * wider(net) + 64));
    if (!s->block)
        return 1;
    s->held = (float *)(((uintptr_t)s->block + 63) / 64 * 64);
    s->flow = s->held + net->layers * rows * gates;
    s->gates = s->flow + rows * (net->residual + net->skip);
    s->inner = s->gates + rows * gates;
    s->hidden = s->inner + rows * net->inner;
    s->logits = s->hidden + rows * net->skip;
    s->chances = s->logits + rows * net->logits;
    s->heap = (int32_t *)(s->chances + net->logits);
    s->scales = (float *)s->heap + net->logits;
    s->bytes = (int8_t *)(s->scales + scales);
    return 0;
}

INLINE void copy_rows(float *to, const float *from, int64_t from_stride, int64_t width,
                      int64_t rows) {
    for (int64_t row = 0; row < rows; row++)
        memcpy(to + row * width, from + row * from_stride, (size_t)width * sizeof(float));
}

/* The biases of one frame, to be held for `hop` steps: the layers' own and the condition's. */
static void hold_biases(const struct wavenet *net, const struct wavenet_call *call, int64_t frame,
                        struct scratch *s) {
    const int64_t inner = net->inner, given = net->plain_inner, frames = call->steps / call->hop;
    for (int64_t layer = 0; layer < net->layers; layer++)
        for (int64_t row = 0; row < call->rows; row++) {
            float *held = s->held + (layer * call->rows + row) * 2 * inner;
            memcpy(held, net->conv_bias + layer * 2 * inner, (size_t)(2 * inner) * sizeof(float));
            if (!call->biases)
                continue;
            const int64_t at = ((call->first + row) * frames + frame) * net->layers + layer;
            const float *bias = call->biases + at * 2 * given;
            for (int64_t i = 0; i < given; i++) {
                held[i] += bias[i];
                held[inner + i] += bias[given + i];
            }
        }
}

/* `flow` at the bottom: the previous symbol's vector, zeros before the first, and no skips. */
static void enter(const struct wavenet *net, const int64_t *previous, int64_t rows,
                  struct scratch *s) {
    const int64_t width = net->residual + net->skip;
    memset(s->flow, 0, (size_t)(rows * width) * sizeof(float));
    for (int64_t row = 0; row < rows; row++)
        if (previous[row] >= 0)
            memcpy(s->flow + row * width, net->enter + previous[row] * net->residual,
                   (size_t)net->residual * sizeof(float));
}

/* Ring slot that a tap of a layer reads at this step; tap 0's is the oldest and is replaced. */
INLINE int64_t slot_of(const struct wavenet *net, int64_t layer, int tap, int64_t step) {
    const int64_t dilation = net->dilations[layer], reach = (net->taps - 1) * dilation;
    return net->first_slots[layer] + (step + tap * dilation) % reach;
}

INLINE struct matrix conv_of(const struct wavenet *net, int64_t layer, int tap, int64_t size) {
    const int64_t gates = 2 * (int64_t)net->inner, index = layer * net->taps + tap;
    return (struct matrix){(const char *)net->conv + index * gates * net->residual * size,
                           net->is_int8 ? net->conv_scales + index * gates : NULL, net->residual,
                           (int)gates, net->is_half};
}

INLINE struct matrix onward_of(const struct wavenet *net, int64_t layer, int64_t size) {
    const int64_t width = net->residual + net->skip;
    return (struct matrix){(const char *)net->onward + layer * width * net->inner * size,
                           net->is_int8 ? net->onward_scales + layer * width : NULL, net->inner,
                           (int)width, net->is_half};
}

/* Convolution of a layer in floats; the present input goes into the ring. */
static void float_conv(const struct wavenet *net, const struct wavenet_state *state,
                       const struct wavenet_call *call, int64_t layer, struct scratch *s) {
    const int64_t width = net->residual, flow = width + net->skip, rows = call->rows;
    const struct floats x = {s->flow, flow}, gates = {s->gates, 2 * net->inner};
    float *slots = state->slots;
    for (int tap = 0; tap < net->taps; tap++) {
        const struct matrix weights = conv_of(net, layer, tap, net->is_half ? 2 : 4);
        if (tap == net->taps - 1) {
            add_float_product(weights, x, gates, rows);
            continue;
        }
        const int64_t slot = slot_of(net, layer, tap, state->step);
        const struct floats past = {slots + (slot * state->batch + call->first) * width, width};
        add_float_product(weights, past, gates, rows);
    }
    if (net->taps > 1) {
        const int64_t slot = slot_of(net, layer, 0, state->step);
        copy_rows(slots + (slot * state->batch + call->first) * width, s->flow, flow, width, rows);
    }
}

/* The same in bytes: the input is rounded once and kept as bytes. */
static void byte_conv(const struct wavenet *net, const struct wavenet_state *state,
                      const struct wavenet_call *call, int64_t layer, struct scratch *s) {
    const int64_t width = net->residual, rows = call->rows;
    const struct floats x = {s->flow, width + net->skip}, gates = {s->gates, 2 * net->inner};
    const struct bytes now = {s->bytes, s->scales, width};
    int8_t *slots = state->slots;
    to_bytes(x, now, width, rows);
    for (int tap = 0; tap < net->taps; tap++) {
        const struct matrix weights = conv_of(net, layer, tap, 1);
        if (tap == net->taps - 1) {
            add_byte_product(weights, now, gates, rows);
            continue;
        }
        const int64_t at = slot_of(net, layer, tap, state->step) * state->batch + call->first;
        const struct bytes past = {slots + at * width, state->slot_scales + 2 * at, width};
        add_byte_product(weights, past, gates, rows);
    }
    if (net->taps > 1) {
        const int64_t at = slot_of(net, layer, 0, state->step) * state->batch + call->first;
        memcpy(slots + at * width, s->bytes, (size_t)(rows * width));
        memcpy(state->slot_scales + 2 * at, s->scales, (size_t)(2 * rows) * sizeof(float));
    }
}

static void gate(const struct wavenet *net, int64_t rows, struct scratch *s) {
    for (int64_t row = 0; row < rows; row++) {
        const float *gates = s->gates + row * 2 * net->inner;
        for (int i = 0; i < net->inner; i += LANES)
            store(s->inner + row * net->inner + i,
                  gate_of(load(gates + i), load(gates + net->inner + i)));
    }
}

static void run_layer(const struct wavenet *net, const struct wavenet_state *state,
                      const struct wavenet_call *call, int64_t layer, struct scratch *s) {
    const int64_t rows = call->rows, held = rows * 2 * net->inner;
    const struct floats inner = {s->inner, net->inner};
    const struct floats flow = {s->flow, net->residual + net->skip};
    memcpy(s->gates, s->held + layer * held, (size_t)held * sizeof(float));
    if (net->is_int8)
        byte_conv(net, state, call, layer, s);
    else
        float_conv(net, state, call, layer, s);
    gate(net, rows, s);
    const float *bias = net->residual_bias + layer * net->residual;
    for (int64_t row = 0; row < rows; row++)
        for (int i = 0; i < net->residual; i += LANES) {
            float *x = s->flow + row * flow.stride + i;
            store(x, load(x) + load(bias + i));
        }
    if (net->is_int8) {
        const struct bytes rounded = {s->bytes, s->scales, net->inner};
        to_bytes(inner, rounded, net->inner, rows);
        add_byte_product(onward_of(net, layer, 1), rounded, flow, rows);
    } else {
        add_float_product(onward_of(net, layer, net->is_half ? 2 : 4), inner, flow, rows);
    }
}

INLINE void scaled_relu(float *x, int64_t width, float scale) {
    for (int64_t i = 0; i < width; i += LANES)
        store(x + i, VECTOR_MAX(load(x + i) * SPLAT(scale), SPLAT(0.0f)));
}

/* Logits of all rows from their skip sums. */
static void head(const struct wavenet *net, int64_t rows, struct scratch *s) {
    const int64_t flow = net->residual + net->skip;
    const struct floats skips = {s->flow + net->residual, flow}, hidden = {s->hidden, net->skip};
    const struct floats logits = {s->logits, net->logits};
    const struct matrix hidden_weights = {net->hidden, NULL, net->skip, net->skip, net->is_half};
    const struct matrix out_weights = {net->out, NULL, net->skip, net->logits, net->is_half};
    for (int64_t row = 0; row < rows; row++)
        scaled_relu(skips.values + row * flow, net->skip, net->skip_scale);
    copy_rows(s->hidden, net->hidden_bias, 0, net->skip, rows);
    add_float_product(hidden_weights, skips, hidden, rows);
    scaled_relu(s->hidden, rows * net->skip, 1.0f);
    copy_rows(s->logits, net->out_bias, 0, net->logits, rows);
    add_float_product(out_weights, hidden, logits, rows);
}

/* The symbol of one row: the one given, or a draw. */
static int64_t choose(const struct wavenet *net, const struct wavenet_call *call, int64_t row,
                      int64_t at, struct scratch *s) {
    if (call->given)
        return call->given[at];
    const struct lots lots = {s->chances, s->heap, call->temperature, call->top_p};
    return call->drawn[at] =
               draw(s->logits + row * net->logits, net->symbols, lots, call->uniforms[at]);
}

int PATH(ritornello_wavenet)(const struct wavenet *net, struct wavenet_state *state,
                             const struct wavenet_call *call) {
    struct scratch s;
    struct wavenet_state now = *state; /* rows of one batch may be run by several threads */
    int64_t *previous = state->previous + call->first;
    if (make_scratch(&s, net, call->rows))
        return 1;
    for (int64_t t = 0; t < call->steps; t++, now.step++) {
        if (t % call->hop == 0 && (t == 0 || call->biases))
            hold_biases(net, call, t / call->hop, &s);
        enter(net, previous, call->rows, &s);
        for (int64_t layer = 0; layer < net->layers; layer++)
            run_layer(net, &now, call, layer, &s);
        head(net, call->rows, &s);
        for (int64_t row = 0; row < call->rows; row++) {
            const int64_t at = (call->first + row) * call->steps + t;
            if (call->logits)
                memcpy(call->logits + at * net->symbols, s.logits + row * net->logits,
                       (size_t)net->symbols * sizeof(float));
            previous[row] = choose(net, call, row, at, &s);
        }
    }
    free(s.block);
    return 0;
}
