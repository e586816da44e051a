/* Everything that is compiled once per path: what PATH.c includes after its own definitions. */
#include "vectors.h"

#include "products.h"

#include "draw.h"

#include "wavenet_step.h"

#include "transformer_step.h"
