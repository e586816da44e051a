/* A transformer over tokens, its state and its calls: what crosses the border of
 * native/transformer.py. */
#ifndef RITORNELLO_TRANSFORMER_H
#define RITORNELLO_TRANSFORMER_H

#include "border.h"

/* Which earlier steps a layer sees; the context is a table of rows of `block_length` steps. */
enum pattern {
    ROW,          /* of its own row, up to itself */
    COLUMN,       /* of its own column, up to itself */
    PREVIOUS_ROW, /* the whole row before; zeros in the first row */
    SUMMARY,      /* one empty step, and the last step of every row before */
    DENSE,        /* up to itself, of the first `kept` steps */
    MEMORY        /* every step of a memory that stays the same */
};

/* y = W x + bias. */
struct linear {
    const void *weights;
    const float *scales; /* of every output, bytes only */
    const float *bias;   /* (outputs,), padded */
};

/* One layer. Its caches are (rows, lines, heads, plain_head, slots) for keys and (rows, lines,
 * heads, slots, head) for values; `slots` is padded. */
struct transformer_layer {
    int32_t pattern, kept, lines, slots; /* slots of a MEMORY are the state's */
    const float *norm_attention;         /* (2, width) gains and biases */
    struct linear project;               /* width -> queries, keys, values; MEMORY: queries */
    struct linear out;                   /* inner -> width */
    const float *norm_mlp;               /* (2, width) */
    struct linear enter, leave;          /* width -> hidden -> width */
};

struct transformer {
    int32_t layers, symbols, block_length;
    int32_t is_int8, is_half;              /* the trunk in bytes; all others in half floats */
    int32_t width, inner, hidden, logits;  /* padded */
    int32_t plain_width, heads;
    int32_t head, plain_head;              /* width of one head, with and without padding */
    int32_t hears_twice;                   /* conditions are added once more before the head */
    const struct transformer_layer *layer; /* (layers,) */
    const float *positions;                /* (context, width) */
    const float *table;                    /* (symbols, width) what every symbol is */
    const float *norm;                     /* (2, width) after the last layer, or NULL */
    struct linear symbol_of;               /* width -> logits; never bytes */
};

/* What sampling remembers of several rows. */
struct transformer_state {
    int64_t rows, step;
    int64_t told;             /* conditions of a row: at least the steps that will be made, or 0 */
    int64_t memory;           /* steps of the memory */
    int64_t *previous;        /* (rows,) the last symbols, -1 before the first */
    const float *start;       /* (rows, width) what stands before the first */
    const float *conditions;  /* (rows, told, width) */
    float *const *keys;       /* (layers,) */
    float *const *values;     /* (layers,) */
};

/* One piece of work. A song is a row, or two rows when it is guided: 2k told, 2k + 1 not. */
struct transformer_call {
    int64_t steps;
    const float *uniforms; /* (songs, steps): draw with these, or ... */
    const int64_t *given;  /* (rows, steps): ... take these symbols */
    int64_t *drawn;        /* (songs, steps) when drawing */
    float *logits;         /* (rows, steps, symbols) of given symbols, or NULL */
    int32_t first;         /* symbols below it are not drawn */
    int32_t is_guided;
    double temperature, top_p, guidance;
};

/* Runs the call; 0, or 1 when there was no memory for scratch space. */
typedef int transformer_run(const struct transformer *, struct transformer_state *,
                            const struct transformer_call *);

transformer_run ritornello_transformer_scalar, ritornello_transformer_avx2,
    ritornello_transformer_avx512;

#endif
