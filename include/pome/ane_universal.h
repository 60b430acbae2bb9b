/*
 * The universal runtime: open a device, bind weights to a pipeline, train. C99 and later, C++ too.
 *
 *     ane_device_t device = ane_open();
 *     ane_pipeline_t pipeline = ane_supports_dynamic(device) ? ane_create_dynamic_pipeline(device)
 *                                                            : ane_create_static_pipeline(device);
 *     ane_weights_t weights = ane_load_weights("model.ane");
 *     ane_bind_weights(pipeline, weights);
 *     ane_tensor_t input = ane_create_tensor(device, shape, data);
 *     ane_tensor_t output = ane_forward(pipeline, input);
 *     ane_tensor_t grad = ane_backward(pipeline, output, target);
 *     ane_update_weights(pipeline, grad, learning_rate);
 *     ane_save_weights(weights, "model.ane");
 *     ane_close(device);
 *
 * ERRORS. A function that makes something returns NULL when it fails, others a status that is not
 * 0; ane_last_error() then says what, where and the way out. NULL, destroyed handles and pointers
 * that never were handles are refused like any other mistake, so a failure may be passed on: the
 * listing above runs to its end without a crash whatever is missing, and the last error is that of
 * the last call that failed. Nothing is printed.
 *
 * OWNERSHIP. Pipelines and tensors belong to their device: ane_close() releases them all. In a
 * training loop release the tensors of a step with ane_destroy_tensor(). Weights belong to no
 * device: they live, and can be saved, until ane_destroy_weights(), after ane_close() too.
 *
 * THREADS. Every function may be called by any thread; calls that use one device or one set of
 * weights run one after another. The last error belongs to the calling thread.
 *
 * SHAPES. Activations are [1, C, 1, S], row-major: element (c, s) at index c * S + s.
 */
#ifndef POME_ANE_UNIVERSAL_H
#define POME_ANE_UNIVERSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ANE_API
#else
#define ANE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define ANE_ABI_VERSION 1

typedef struct ane_device* ane_device_t;
typedef struct ane_pipeline* ane_pipeline_t;
typedef struct ane_weights* ane_weights_t;
typedef struct ane_tensor* ane_tensor_t;

/* 0: done; else a pome_status of pome.h. */
typedef int ane_status_t;

typedef int32_t ane_dtype_t;
enum { ANE_FLOAT32 = 0, ANE_FLOAT16 = 1, ANE_INT32 = 2 };

#define ANE_MAX_RANK 8

/* {4, {1, 64, 1, 16}} is fp32 [1, 64, 1, 16]; a third member says another dtype. */
typedef struct ane_shape {
    int32_t count; /* of sizes, 0 to ANE_MAX_RANK */
    int64_t sizes[ANE_MAX_RANK];
    ane_dtype_t dtype;
} ane_shape_t;

ANE_API uint32_t ane_abi_version(void);
/* What the last failed call of this thread said; "" before the first. */
ANE_API const char* ane_last_error(void);
ANE_API ane_status_t ane_last_status(void);

/* Opens the device that the environment variable POME_DEVICE names ("emulator:m1", "reference"),
 * else the emulated engine "emulator:m4". NULL on failure. */
ANE_API ane_device_t ane_open(void);
/* Releases the device and every pipeline and tensor that was made with it. Twice does nothing. */
ANE_API void ane_close(ane_device_t device);
/* "emulator:m4"; lives until ane_close(). NULL on failure. */
ANE_API const char* ane_device_name(ane_device_t device);
/* Whether programs are compiled from memory: true for every device here; false with an error for no
 * device. */
ANE_API bool ane_supports_inmem(ane_device_t device);
/* Whether programs whose weights are inputs give right results: false where the chip is known not
 * to run them, else the result of a probe, which compiles one program and is made once a device. */
ANE_API bool ane_supports_dynamic(ane_device_t device);

/* Weights are inputs of programs that are compiled once. NULL where the chip does not run them. */
ANE_API ane_pipeline_t ane_create_dynamic_pipeline(ane_device_t device);
/* Weights are constants of programs that are compiled anew after every update. When a process has
 * used up its compiles, an emulated engine is started anew; weights and results are not touched. */
ANE_API ane_pipeline_t ane_create_static_pipeline(ane_device_t device);
ANE_API void ane_destroy_pipeline(ane_pipeline_t pipeline);

/* Reads a .ane model, a llama2.c model, or a checkpoint; NULL and which field is wrong otherwise.
 */
ANE_API ane_weights_t ane_load_weights(const char* path);
/* Writes them: .ane for a model that is a program, .bin or .safetensors for a language model. */
ANE_API ane_status_t ane_save_weights(ane_weights_t weights, const char* path);
ANE_API void ane_destroy_weights(ane_weights_t weights);
/* Number of weight tensors, -1 on failure; one's name (lives as long as the weights, NULL on
 * failure) and shape; its values, which must be exactly `count`. */
ANE_API int ane_weight_count(ane_weights_t weights);
ANE_API const char* ane_weight_name(ane_weights_t weights, int index);
ANE_API ane_status_t ane_weight_shape(ane_weights_t weights, int index, ane_shape_t* shape);
ANE_API ane_status_t ane_read_weight(ane_weights_t weights, int index, float* values, size_t count);

/* Static: they are compiled in at the next forward pass; dynamic: staged into surfaces. Updates
 * change these weights themselves. The pipeline keeps them: they may be destroyed afterwards. */
ANE_API ane_status_t ane_bind_weights(ane_pipeline_t pipeline, ane_weights_t weights);

/* A tensor with a copy of `data`, which holds all its elements in its dtype; NULL gives zeros. fp16
 * data are the 16 bits of each number. */
ANE_API ane_tensor_t ane_create_tensor(ane_device_t device, ane_shape_t shape, const void* data);
ANE_API void ane_destroy_tensor(ane_tensor_t tensor);
/* fp32 or int32. For a gradient: fp32 [n], all weights' gradients one after another. */
ANE_API ane_status_t ane_tensor_shape(ane_tensor_t tensor, ane_shape_t* shape);
/* All values of a tensor that is not int32; count must be its number of elements. */
ANE_API ane_status_t ane_read_tensor(ane_tensor_t tensor, float* values, size_t count);

/* The output for the weights of the moment: fp32 [1, C, 1, S]. A language model takes int32 [S]
 * token ids and gives logits. NULL on failure. */
ANE_API ane_tensor_t ane_forward(ane_pipeline_t pipeline, ane_tensor_t input);
/* The gradient of the model's loss for every weight. `output` is the result of the pipeline's last
 * ane_forward(). Target: fp32 like the output (mean squared error), or int32 [S] classes or next
 * tokens, -1 where a position does not count (cross entropy). NULL on failure. */
ANE_API ane_tensor_t ane_backward(ane_pipeline_t pipeline, ane_tensor_t output,
                                  ane_tensor_t target);
/* The loss that a gradient belongs to. */
ANE_API ane_status_t ane_tensor_loss(ane_tensor_t grad, double* loss);

typedef int32_t ane_optimizer_t;
enum { ANE_SGD = 0, ANE_ADAMW = 1 };
/* What ane_update_weights() does with a gradient; SGD when never called. Forgets AdamW's moments.
 */
ANE_API ane_status_t ane_set_optimizer(ane_pipeline_t pipeline, ane_optimizer_t optimizer);
/* SGD: w -= learning_rate * gradient. On an error no weight has changed. */
ANE_API ane_status_t ane_update_weights(ane_pipeline_t pipeline, ane_tensor_t grad,
                                        double learning_rate);

#ifdef __cplusplus
}
#endif

#endif /* POME_ANE_UNIVERSAL_H */
