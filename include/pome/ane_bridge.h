/*
 * The C bridge of the published trainers as a thin layer over Pome: programs written for it compile
 * and run with libpome. C99 and later, C++ too.
 *
 * What differs from the original: sizes are checked, so that a write that is larger than its input
 * is refused, not done; errors have a text (ane_bridge_last_error()); calls from several threads
 * run one after another; NULL and freed kernels are refused. A refused write or read cannot be
 * reported by its own function, which returns nothing: the kernel's next ane_bridge_eval() fails
 * with that error instead of computing from old data.
 */
#ifndef ANE_BRIDGE_H
#define ANE_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ANE_BRIDGE_API
#else
#define ANE_BRIDGE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A compiled program with a surface for each input and output. */
typedef struct ANEKernelHandle ANEKernelHandle;

/* Opens the device that POME_DEVICE names, else "emulator:m4". 0, or -1. A second call does
 * nothing. */
ANE_BRIDGE_API int ane_bridge_init(void);
/* What the last failed call of this thread said; "" before the first. Not in the original. */
ANE_BRIDGE_API const char* ane_bridge_last_error(void);

/* Compiles MIL text. `weight_data` is the file "@model_path/weights/weight.bin" (NULL when the
 * program has none). input_sizes and output_sizes are the bytes of each surface, in the order in
 * which the program declares them; each must hold the tensor that the program declares. NULL on
 * failure. */
ANE_BRIDGE_API ANEKernelHandle* ane_bridge_compile(const char* mil_text, size_t mil_len,
                                                   const uint8_t* weight_data, size_t weight_len,
                                                   int n_inputs, const size_t* input_sizes,
                                                   int n_outputs, const size_t* output_sizes);
/* The same with several weight files by their paths ("@model_path/weights/wq.bin"). */
ANE_BRIDGE_API ANEKernelHandle* ane_bridge_compile_multi_weights(
    const char* mil_text, size_t mil_len, const char** weight_names, const uint8_t** weight_datas,
    const size_t* weight_lens, int n_weights, int n_inputs, const size_t* input_sizes,
    int n_outputs, const size_t* output_sizes);

/* Runs it; false on failure: no output may be read then. */
ANE_BRIDGE_API bool ane_bridge_eval(ANEKernelHandle* kernel);
/* Copies `bytes` bytes to the start of an input, from the start of an output. */
ANE_BRIDGE_API void ane_bridge_write_input(ANEKernelHandle* kernel, int idx, const void* data,
                                           size_t bytes);
ANE_BRIDGE_API void ane_bridge_read_output(ANEKernelHandle* kernel, int idx, void* data,
                                           size_t bytes);
ANE_BRIDGE_API void ane_bridge_free(ANEKernelHandle* kernel);

/* Programs compiled since the start or the last reset. A reset changes this count only: an engine's
 * process still has the compiles behind it. */
ANE_BRIDGE_API int ane_bridge_get_compile_count(void);
ANE_BRIDGE_API void ane_bridge_reset_compile_count(void);

/* Weight files of one tensor: 128 bytes of headers, then fp16 (rounded to nearest even), row-major;
 * `_transposed` stores [cols, rows]. malloc'ed: free() or ane_bridge_free_blob() them. NULL on
 * failure. */
ANE_BRIDGE_API uint8_t* ane_bridge_build_weight_blob(const float* src, int rows, int cols,
                                                     size_t* out_len);
ANE_BRIDGE_API uint8_t* ane_bridge_build_weight_blob_transposed(const float* src, int rows,
                                                                int cols, size_t* out_len);
/* int8, in the same container (the original leaves its first 64 bytes out, which no compiler was
 * shown to read), for constexpr_affine_dequantize; _quantized: scale = max |w| / 127 of the whole
 * tensor, 1 when all are 0, q = w / scale rounded half away from zero. */
ANE_BRIDGE_API uint8_t* ane_bridge_build_weight_blob_int8(const int8_t* src, int rows, int cols,
                                                          size_t* out_len);
ANE_BRIDGE_API uint8_t* ane_bridge_build_weight_blob_quantized(const float* src, int rows, int cols,
                                                               float* out_scale, size_t* out_len);
ANE_BRIDGE_API void ane_bridge_free_blob(void* blob);

#ifdef __cplusplus
}
#endif

#endif /* ANE_BRIDGE_H */
