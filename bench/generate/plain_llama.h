/* The contender: a Llama in plain C, fp32, as one would write it down. */
#ifndef PLAIN_LLAMA_H
#define PLAIN_LLAMA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int width, hidden, layers, heads, kv_heads, vocabulary, sequence;
    float norm_epsilon, rope_base;
} plain_sizes;

/* Matrices are row-major [out, in]. They stay the caller's. */
typedef struct {
    const float *attention_norm, *wq, *wk, *wv, *wo;
    const float *feed_forward_norm, *w1, *w2, *w3;
} plain_layer;

typedef struct plain_llama plain_llama;

/* Keeps the pointers to `layers` [sizes.layers], embedding, final norm and head. NULL without
   memory. */
plain_llama* plain_llama_make(plain_sizes sizes, const plain_layer* layers, const float* embedding,
                              const float* final_norm, const float* head);
void plain_llama_free(plain_llama* model);

/* Reads `token` as position `position`, which follows the one before; logits [vocabulary], valid
   until the next call. Uses as many threads as OpenMP is told to. */
const float* plain_llama_step(plain_llama* model, int token, int position);

void plain_llama_threads(int threads);

#ifdef __cplusplus
}
#endif
#endif
