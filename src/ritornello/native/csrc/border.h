/* What crosses the border between Python and C: plain arrays and their sizes.
 *
 * Every array is made, owned and checked by Python; nothing in C is allocated for longer than a
 * call. Widths marked "padded" are whole multiples of RITORNELLO_PAD values, the padding is zero and
 * stays zero, so that no loop has a rest to deal with.
 *
 * Weight matrices are packed in panels for the products in products.h. With P outputs to a panel:
 *
 *     fp32   (panels, inputs, P)               float, or half floats
 *     int8   (panels, inputs / 4, P, 4)        bytes, raised by the path's `byte_offset`
 */
#ifndef RITORNELLO_BORDER_H
#define RITORNELLO_BORDER_H

#include <stdint.h>

#define RITORNELLO_PAD 32

/* Raised with every change of a structure that crosses, so that Python never drives another build. */
#define RITORNELLO_LAYOUT 3

#endif
