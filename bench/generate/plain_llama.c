#include "plain_llama.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

struct plain_llama {
    plain_sizes sizes;
    const plain_layer* layers;
    const float *embedding, *final_norm, *head;
    float *x, *normal, *q, *heads, *branch, *gate, *up, *scores, *logits;
    float *keys, *values; /* [layer][position][kv_heads * size] */
};

static float* floats(size_t count) {
    return (float*)calloc(count, sizeof(float));
}

plain_llama* plain_llama_make(plain_sizes sizes, const plain_layer* layers, const float* embedding,
                              const float* final_norm, const float* head) {
    plain_llama* model = (plain_llama*)calloc(1, sizeof *model);
    if (model == NULL) {
        return NULL;
    }
    const size_t width = (size_t)sizes.width, hidden = (size_t)sizes.hidden;
    const size_t kv_width = width / (size_t)sizes.heads * (size_t)sizes.kv_heads;
    const size_t cache = (size_t)sizes.layers * (size_t)sizes.sequence * kv_width;
    model->sizes = sizes;
    model->layers = layers;
    model->embedding = embedding;
    model->final_norm = final_norm;
    model->head = head;
    model->x = floats(width);
    model->normal = floats(width);
    model->q = floats(width);
    model->heads = floats(width);
    model->branch = floats(width);
    model->gate = floats(hidden);
    model->up = floats(hidden);
    model->scores = floats((size_t)sizes.heads * (size_t)sizes.sequence);
    model->logits = floats((size_t)sizes.vocabulary);
    model->keys = floats(cache);
    model->values = floats(cache);
    if (!model->x || !model->normal || !model->q || !model->heads || !model->branch ||
        !model->gate || !model->up || !model->scores || !model->logits || !model->keys ||
        !model->values) {
        plain_llama_free(model);
        return NULL;
    }
    return model;
}

void plain_llama_free(plain_llama* model) {
    if (model != NULL) {
        float* all[] = {model->x,      model->normal, model->q,     model->heads,
                        model->branch, model->gate,   model->up,    model->scores,
                        model->logits, model->keys,   model->values};
        for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
            free(all[i]);
        }
        free(model);
    }
}

void plain_llama_threads(int threads) {
    omp_set_num_threads(threads);
}

static void normalize(float* y, const float* x, const float* gain, int width, float epsilon) {
    float sum = 0.0f;
    for (int i = 0; i < width; ++i) {
        sum += x[i] * x[i];
    }
    const float root = 1.0f / sqrtf(sum / (float)width + epsilon);
    for (int i = 0; i < width; ++i) {
        y[i] = gain[i] * root * x[i];
    }
}

/* y[rows] = w[rows][columns] x[columns] */
static void multiply(float* restrict y, const float* restrict w, const float* restrict x, int rows,
                     int columns) {
    int r;
#pragma omp parallel for schedule(static)
    for (r = 0; r < rows; ++r) {
        const float* row = w + (size_t)r * (size_t)columns;
        float sum = 0.0f;
        for (int c = 0; c < columns; ++c) {
            sum += row[c] * x[c];
        }
        y[r] = sum;
    }
}

static void rotate(float* x, int channels, int size, int position, float base) {
    for (int c = 0; c < channels; c += 2) {
        const float angle = (float)position * powf(base, -(float)(c % size) / (float)size);
        const float cosine = cosf(angle), sine = sinf(angle), even = x[c], odd = x[c + 1];
        x[c] = even * cosine - odd * sine;
        x[c + 1] = even * sine + odd * cosine;
    }
}

static void attend(plain_llama* model, int layer, int position) {
    const plain_sizes s = model->sizes;
    const int size = s.width / s.heads, kv_width = size * s.kv_heads;
    const size_t start = (size_t)layer * (size_t)s.sequence * (size_t)kv_width;
    int head;
#pragma omp parallel for schedule(static)
    for (head = 0; head < s.heads; ++head) {
        const size_t at = start + (size_t)(head / (s.heads / s.kv_heads) * size);
        const float *q = model->q + head * size, *keys = model->keys + at,
                    *values = model->values + at;
        float* scores = model->scores + (size_t)head * (size_t)s.sequence;
        float largest = -INFINITY, total = 0.0f;
        for (int t = 0; t <= position; ++t) {
            float sum = 0.0f;
            for (int i = 0; i < size; ++i) {
                sum += q[i] * keys[(size_t)t * (size_t)kv_width + (size_t)i];
            }
            scores[t] = sum / sqrtf((float)size);
            largest = fmaxf(largest, scores[t]);
        }
        for (int t = 0; t <= position; ++t) {
            scores[t] = expf(scores[t] - largest);
            total += scores[t];
        }
        float* out = model->heads + head * size;
        memset(out, 0, (size_t)size * sizeof(float));
        for (int t = 0; t <= position; ++t) {
            const float share = scores[t] / total;
            for (int i = 0; i < size; ++i) {
                out[i] += share * values[(size_t)t * (size_t)kv_width + (size_t)i];
            }
        }
    }
}

const float* plain_llama_step(plain_llama* model, int token, int position) {
    const plain_sizes s = model->sizes;
    const int size = s.width / s.heads, kv_width = size * s.kv_heads;
    memcpy(model->x, model->embedding + (size_t)token * (size_t)s.width,
           (size_t)s.width * sizeof(float));
    for (int layer = 0; layer < s.layers; ++layer) {
        const plain_layer* w = &model->layers[layer];
        const size_t at =
            ((size_t)layer * (size_t)s.sequence + (size_t)position) * (size_t)kv_width;
        float *key = model->keys + at, *value = model->values + at;
        normalize(model->normal, model->x, w->attention_norm, s.width, s.norm_epsilon);
        multiply(model->q, w->wq, model->normal, s.width, s.width);
        multiply(key, w->wk, model->normal, kv_width, s.width);
        multiply(value, w->wv, model->normal, kv_width, s.width);
        rotate(model->q, s.width, size, position, s.rope_base);
        rotate(key, kv_width, size, position, s.rope_base);
        attend(model, layer, position);
        multiply(model->branch, w->wo, model->heads, s.width, s.width);
        for (int i = 0; i < s.width; ++i) {
            model->x[i] += model->branch[i];
        }
        normalize(model->normal, model->x, w->feed_forward_norm, s.width, s.norm_epsilon);
        multiply(model->gate, w->w1, model->normal, s.hidden, s.width);
        multiply(model->up, w->w3, model->normal, s.hidden, s.width);
        for (int i = 0; i < s.hidden; ++i) {
            const float g = model->gate[i];
            model->gate[i] = g / (1.0f + expf(-g)) * model->up[i];
        }
        multiply(model->branch, w->w2, model->gate, s.width, s.hidden);
        for (int i = 0; i < s.width; ++i) {
            model->x[i] += model->branch[i];
        }
    }
    normalize(model->normal, model->x, model->final_norm, s.width, s.norm_epsilon);
    multiply(model->logits, model->head, model->normal, s.vocabulary, s.width);
    return model->logits;
}
