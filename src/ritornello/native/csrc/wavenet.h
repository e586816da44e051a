/* A WaveNet, its state and its calls: what crosses the border of native/wavenet.py. */
#ifndef RITORNELLO_WAVENET_H
#define RITORNELLO_WAVENET_H

#include "border.h"

/* Sizes and weights of a stack and its head. */
struct wavenet {
    int32_t layers, taps, symbols;
    int32_t is_int8, is_half;               /* the stack in bytes; all matrices in half floats */
    int32_t residual, inner, skip, logits;  /* padded widths; `logits` is `symbols`, padded */
    int32_t plain_inner;                    /* width of one half of a bias as it is given */
    float skip_scale;
    const int64_t *dilations;               /* (layers,) */
    const int64_t *first_slots;             /* (layers,) where each layer's ring begins */
    const float *enter;                     /* (symbols, residual) */
    const void *conv;                       /* (layers, taps) matrices residual -> 2 * inner */
    const float *conv_scales;               /* (layers, taps, 2 * inner), int8 only */
    const float *conv_bias;                 /* (layers, 2 * inner) */
    const void *onward;                     /* (layers,) matrices inner -> residual and skip */
    const float *onward_scales;             /* (layers, residual + skip), int8 only */
    const float *residual_bias;             /* (layers, residual) */
    const void *hidden; const float *hidden_bias;      /* matrix skip -> skip, (skip,); never bytes */
    const void *out; const float *out_bias;           /* matrix skip -> logits, (logits,); never bytes */
};

/* What sampling remembers. Slots are (slot, batch, residual): float, or int8 with its scales. */
struct wavenet_state {
    int64_t batch, step;
    int64_t *previous;    /* (batch,) the last symbols, -1 before the first */
    void *slots;          /* all rings, one after another */
    float *slot_scales;   /* (slot, batch, 2) scale and sum of each int8 vector, int8 only */
};

/* One piece of work, on the streams first .. first + rows - 1 of a batch. */
struct wavenet_call {
    int64_t first, rows, steps, hop;
    const float *biases;     /* (batch, steps / hop, layers, 2 * plain_inner), or NULL */
    const float *uniforms;   /* (batch, steps): draw with these, or ... */
    const int64_t *given;    /* (batch, steps): ... take these symbols */
    int64_t *drawn;          /* (batch, steps) when drawing */
    float *logits;           /* (batch, steps, symbols), or NULL */
    double temperature, top_p;
};

/* Runs the call; 0, or 1 when there was no memory for scratch space. */
typedef int wavenet_run(const struct wavenet *, struct wavenet_state *, const struct wavenet_call *);

wavenet_run ritornello_wavenet_scalar, ritornello_wavenet_avx2, ritornello_wavenet_avx512;

#endif
