/* The library's entry points: which paths there are, and running one of them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "transformer.h"
#include "wavenet.h"

struct path {
    const char *name;
    int32_t panel;       /* outputs in a panel of packed weights */
    int32_t byte_offset; /* what is added to int8 weights when packing */
    int32_t has_half;    /* whether it reads half floats fast: weights may be packed as such */
    wavenet_run *wavenet;
    transformer_run *transformer;
};

static const struct path PATHS[] = {
#if defined(__x86_64__)
    {"avx512", 32, 128, 1, ritornello_wavenet_avx512, ritornello_transformer_avx512},
    {"avx2", 16, 0, 1, ritornello_wavenet_avx2, ritornello_transformer_avx2},
#endif
    {"scalar", 8, 0, 0, ritornello_wavenet_scalar, ritornello_transformer_scalar},
};
static const int32_t COUNT = sizeof PATHS / sizeof PATHS[0];

static int is_usable(const struct path *path) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!strcmp(path->name, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
               __builtin_cpu_supports("fma");
    if (!strcmp(path->name, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("f16c");
#endif
    return path->wavenet != NULL;
}

static const struct path *find(const char *name) {
    for (int32_t i = 0; i < COUNT; i++)
        if (!strcmp(PATHS[i].name, name))
            return &PATHS[i];
    return NULL;
}

/* Name of the index-th path, fastest first, whether this processor has it or not; NULL at the end. */
const char *ritornello_path_name(int32_t index) {
    return index >= 0 && index < COUNT ? PATHS[index].name : NULL;
}

int32_t ritornello_path_is_usable(const char *name) {
    const struct path *path = find(name);
    return path && is_usable(path);
}

int32_t ritornello_path_panel(const char *name) { return find(name)->panel; }

int32_t ritornello_path_byte_offset(const char *name) { return find(name)->byte_offset; }

int32_t ritornello_path_has_half(const char *name) { return find(name)->has_half; }

int32_t ritornello_layout(void) { return RITORNELLO_LAYOUT; }

int32_t ritornello_pad(void) { return RITORNELLO_PAD; }

int32_t ritornello_wavenet_run(const char *path, const struct wavenet *net,
                               struct wavenet_state *state, const struct wavenet_call *call) {
    return find(path)->wavenet(net, state, call);
}

int32_t ritornello_transformer_run(const char *path, const struct transformer *net,
                                   struct transformer_state *state,
                                   const struct transformer_call *call) {
    return find(path)->transformer(net, state, call);
}
