/*
 * Pome: programs and training on Apple's Neural Engine, or on its emulator. C interface.
 *
 * C99 and later, C++ too. Link with libpome (pkg-config pome, or find_package(pome) in CMake).
 *
 * RESULTS. Every function that can fail returns a pome_status; 0 is success. Then
 * pome_last_error() has a message that names the thing, the rule and the way out. Nothing is
 * printed, and nothing throws, exits or aborts. Results that are given through a pointer are
 * written on success only.
 *
 * HANDLES. pome_device and the other handle types are opaque. A handle is valid from the call that
 * makes it to the call that destroys it; NULL, a handle that was destroyed and a pointer that never
 * was one are refused with POME_INVALID_HANDLE, they are not dereferenced. Destroying NULL or the
 * same handle twice does nothing. Destroying a device does not touch what was made with it:
 * programs and models keep it alive until they are destroyed themselves. Whatever other pointer a
 * function takes must point to readable (or writable) memory of the size that is said there.
 *
 * MEMORY. Strings and arrays that the caller gives are copied before the function returns. Strings
 * that are returned belong to the library; how long they live is said with each.
 *
 * TENSORS are dense and row-major. The engine's usual form is [1, C, 1, S]: element (c, s) lies at
 * index c * S + s. C are channels, S positions.
 *
 * THREADS. Every function may be called by any thread at any time. Calls that use one device, or
 * programs, models and gradients made with it, run one after another; different devices run at the
 * same time. A surface that is read or written through pome_surface_data() must not be in use by
 * pome_program_evaluate() in another thread. The last error belongs to the calling thread.
 *
 * VERSIONS. Structs that the caller fills start with `size`, its own sizeof, so that they can grow:
 * fields beyond it take their defaults. Functions are never removed and never change their meaning
 * while POME_ABI_VERSION stays.
 */
#ifndef POME_POME_H
#define POME_POME_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define POME_API
#else
#define POME_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define POME_ABI_VERSION 1

/* The version that the library was built with; a program compares it with POME_ABI_VERSION. */
POME_API uint32_t pome_abi_version(void);
/* "0.1.0"; static. */
POME_API const char* pome_version(void);

/* ---- errors ------------------------------------------------------------------------------- */

typedef int32_t pome_status;
enum {
    POME_OK = 0,
    POME_INVALID_ARGUMENT = 1,    /* a value is outside its range, or a pointer is NULL */
    POME_INVALID_HANDLE = 2,      /* NULL, destroyed, of another kind, or never a handle */
    POME_MALFORMED_FILE = 3,      /* bytes from a file break its format */
    POME_MALFORMED_PROGRAM = 4,   /* MIL text or a program breaks a rule of the language */
    POME_UNSUPPORTED = 5,         /* valid, but this device or build cannot do it */
    POME_IO = 6,                  /* the system refused a file operation */
    POME_CHECKPOINT_MISMATCH = 7, /* a checkpoint does not fit the model */
    POME_SURFACE_MISMATCH = 8,    /* a surface or array has another type or size than declared */
    POME_BINDING_MISSING = 9,     /* an input or output of a program has no surface */
    POME_COMPILE_FAILED = 10,     /* the device refused a program */
    POME_EVALUATION_FAILED = 11,  /* the device could not finish; outputs have no meaning */
    POME_DIVERGED = 12,           /* training cannot go on: gradients are not finite */
    POME_INTERRUPTED = 13,
    POME_OUT_OF_MEMORY = 14,
    POME_INTERNAL = 15 /* a fault of the library; the message says what was thrown */
};

/* "invalid argument"; static. For a number that is no status "unknown status". */
POME_API const char* pome_status_name(pome_status status);
/* What the last failed call of this thread said, "" before the first; lives until the thread's next
 * failed call. A success leaves it. */
POME_API const char* pome_last_error(void);
/* Its status. */
POME_API pome_status pome_last_status(void);

/* ---- tensors ------------------------------------------------------------------------------- */

typedef int32_t pome_dtype;
enum { POME_FLOAT16 = 0, POME_FLOAT32 = 1, POME_INT32 = 2, POME_OTHER = 3 };

#define POME_MAX_RANK 8

/* A tensor's type. sizes[rank..] are 0. POME_OTHER: a type that this interface has no name for; its
 * bytes can be read and written all the same. */
typedef struct pome_tensor_type {
    pome_dtype dtype;
    int32_t rank; /* 0 to POME_MAX_RANK */
    int64_t sizes[POME_MAX_RANK];
} pome_tensor_type;

/* ---- devices ------------------------------------------------------------------------------- */

typedef struct pome_device pome_device;

typedef struct pome_device_options {
    size_t size;            /* sizeof(pome_device_options) */
    const char* numerics;   /* of an emulator: "exact" (as the chip; default) or "fast" */
    const char* strictness; /* of an emulator: "strict" (what the chip gets wrong silently is an
                               error; default) or "as-hardware" (it happens) */
    int32_t threads;        /* processor threads; 0: all (default) */
} pome_device_options;

/* Opens a device: "reference" (double precision, slow), or "emulator:CHIP[/ROUTE]", CHIP of
 * pome_device_chip(). NULL or "": the environment variable POME_DEVICE, else "emulator:m4".
 * `options` may be NULL. *device is the caller's, to be given to pome_device_close().
 * Errors: POME_INVALID_ARGUMENT listing the devices. */
POME_API pome_status pome_device_open(const char* name, const pome_device_options* options,
                                      pome_device** device);
/* Releases the caller's handle. */
POME_API void pome_device_close(pome_device* device);
/* *name is "emulator:m4"; lives as long as the handle. */
POME_API pome_status pome_device_name(pome_device* device, const char** name);
/* Programs that this device has compiled, and how many a process of it may (0: no limit). */
POME_API pome_status pome_device_compiles(pome_device* device, int64_t* compiles, int64_t* limit);
/* *supported is 1 when programs whose weights are inputs give right results: known chips by their
 * profile, and then by a probe that compiles and runs one small program (once; it counts). */
POME_API pome_status pome_device_runtime_weights(pome_device* device, int32_t* supported);
/* Names of the emulated chips: "m1", ...; static. NULL for an index that is not 0 to count - 1. */
POME_API size_t pome_device_chip_count(void);
POME_API const char* pome_device_chip(size_t index);

/* ---- surfaces ------------------------------------------------------------------------------ */

/* Memory that programs read and write. */
typedef struct pome_surface pome_surface;

/* A surface of zeros. dtype may not be POME_OTHER, every size must be 1 or more. *surface is the
 * caller's. Errors: POME_INVALID_ARGUMENT, POME_OUT_OF_MEMORY. */
POME_API pome_status pome_surface_create(const pome_tensor_type* type, pome_surface** surface);
POME_API void pome_surface_destroy(pome_surface* surface);
POME_API pome_status pome_surface_type(pome_surface* surface, pome_tensor_type* type);
/* The memory itself: *bytes bytes at *data, aligned to 128; lives as long as the handle. */
POME_API pome_status pome_surface_data(pome_surface* surface, void** data, size_t* bytes);
/* Copies `count` fp32 values in or out, which must be all of the surface's; an fp16 surface rounds
 * to nearest even. Errors: POME_SURFACE_MISMATCH for a count or dtype that does not fit. */
POME_API pome_status pome_surface_write_floats(pome_surface* surface, const float* values,
                                               size_t count);
POME_API pome_status pome_surface_read_floats(pome_surface* surface, float* values, size_t count);

/* ---- programs ------------------------------------------------------------------------------ */

typedef struct pome_program pome_program;

/* A weight file of a program: what BLOBFILE(path = "@model_path/weights/w.bin", ...) names. */
typedef struct pome_weight_file {
    const char* path; /* "@model_path/weights/w.bin" */
    const void* bytes;
    size_t size;
} pome_weight_file;

typedef struct pome_compile_options {
    size_t size;          /* sizeof(pome_compile_options) */
    const char* function; /* NULL: "main" */
    int32_t legalize;     /* not 0: rewrite what this chip does not take into an equal program that
                             it does; inputs and outputs stay as they are */
} pome_compile_options;

/* Compiles MIL text (`length` bytes, need not end with 0) with its weight files (`files` may be
 * NULL when `count` is 0). `options` may be NULL. *program is the caller's. Errors:
 * POME_MALFORMED_PROGRAM with line and column, POME_MALFORMED_FILE for a weight file whose record
 * is wrong, POME_COMPILE_FAILED in the device's words, also when the process has used up its
 * compiles. */
POME_API pome_status pome_program_compile(pome_device* device, const char* mil, size_t length,
                                          const pome_weight_file* files, size_t count,
                                          const pome_compile_options* options,
                                          pome_program** program);
POME_API void pome_program_destroy(pome_program* program);
/* Numbers of inputs and outputs. */
POME_API pome_status pome_program_counts(pome_program* program, size_t* inputs, size_t* outputs);
/* Name and type of one; either pointer may be NULL. *name lives as long as the handle.
 * Errors: POME_INVALID_ARGUMENT for an index that is too large. */
POME_API pome_status pome_program_input(pome_program* program, size_t index, const char** name,
                                        pome_tensor_type* type);
POME_API pome_status pome_program_output(pome_program* program, size_t index, const char** name,
                                         pome_tensor_type* type);

typedef struct pome_binding {
    const char* name;
    pome_surface* surface;
} pome_binding;

/* Runs the program once: `bindings` has a surface for every input and output, by name, in any
 * order. When it returns POME_OK, every output holds this run's result; otherwise none may be read.
 * Errors: POME_BINDING_MISSING, POME_SURFACE_MISMATCH, POME_EVALUATION_FAILED. */
POME_API pome_status pome_program_evaluate(pome_program* program, const pome_binding* bindings,
                                           size_t count);

/* ---- models -------------------------------------------------------------------------------- */

/* A model on a device: forward, gradients, updates. Weights are fp32 on the host; what the engine
 * sees is fp16. */
typedef struct pome_model pome_model;

typedef struct pome_model_options {
    size_t size;          /* sizeof(pome_model_options) */
    const char* pipeline; /* how weights reach the engine: "dynamic" (inputs, compiled once),
                             "static" (constants, compiled anew after every update; an emulated
                             device starts anew when its compiles are used up), or "auto" (NULL
                             too): what the chip can */
    int64_t sequence;     /* positions S of a language model; 0: those of the file */
    double loss_scale;    /* first factor of the gradients on their way through the engine, a power
                             of two from 1 to 65536; 0: 1024. It halves when they overflow */
} pome_model_options;

/* Reads a model: .ane (docs/model-file.md), llama2.c .bin, BLZT checkpoint, .safetensors of Pome,
 * or a checkpoint or run directory of a language model. `options` may be NULL. *model is the
 * caller's. Errors: POME_IO, POME_MALFORMED_FILE naming the field, POME_UNSUPPORTED,
 * POME_COMPILE_FAILED. */
POME_API pome_status pome_model_open(pome_device* device, const char* path,
                                     const pome_model_options* options, pome_model** model);
POME_API void pome_model_destroy(pome_model* model);
/* What forward() takes and gives; any pointer may be NULL. A program model takes fp32 in its own
 * shape, a language model int32 [S] token ids and gives logits [1, vocabulary, 1, S]; target is
 * what pome_model_train_step() wants: fp32 like the output (mean squared error), or int32 [S]
 * classes or next tokens, -1 where a position does not count (mean cross entropy). */
POME_API pome_status pome_model_types(pome_model* model, pome_tensor_type* input,
                                      pome_tensor_type* output, pome_tensor_type* target);
/* *pipeline is "dynamic" or "static"; lives as long as the handle. */
POME_API pome_status pome_model_pipeline(pome_model* model, const char** pipeline);
/* Runs the model: `input` has `input_bytes` bytes (fp32 or int32 as pome_model_types() says),
 * `output` room for `output_bytes` (fp32); both must be exactly the types' sizes.
 * Errors: POME_SURFACE_MISMATCH, POME_EVALUATION_FAILED. */
POME_API pome_status pome_model_forward(pome_model* model, const void* input, size_t input_bytes,
                                        float* output, size_t output_bytes);

typedef int32_t pome_optimizer;
enum { POME_SGD = 0, POME_ADAMW = 1 };

typedef struct pome_update_rule {
    size_t size; /* sizeof(pome_update_rule) */
    pome_optimizer optimizer;
    double learning_rate;
    double beta1, beta2, epsilon; /* AdamW only; 0 takes 0.9, 0.999 and 1e-8 */
    double weight_decay;          /* decoupled; none on vectors */
    double clip_norm;             /* of the whole gradient; 0: no clipping */
} pome_update_rule;

/* One step: forward, gradient of the mean loss, update of every weight. *loss (may be NULL) is the
 * loss before the update. On an error no weight has changed.
 * Errors: as pome_model_forward(), POME_INVALID_ARGUMENT for a rule or target out of range,
 * POME_DIVERGED. */
POME_API pome_status pome_model_train_step(pome_model* model, const void* input, size_t input_bytes,
                                           const void* target, size_t target_bytes,
                                           const pome_update_rule* rule, double* loss);

/* Weights, in the model's order. Name and type as above; *name lives as long as the handle. */
POME_API pome_status pome_model_parameter_count(pome_model* model, size_t* count);
POME_API pome_status pome_model_parameter(pome_model* model, size_t index, const char** name,
                                          pome_tensor_type* type);
/* Copies one weight's values, all of them, row-major. Errors: POME_SURFACE_MISMATCH for another
 * count, POME_INVALID_ARGUMENT for a value that is not finite. */
POME_API pome_status pome_model_read_parameter(pome_model* model, size_t index, float* values,
                                               size_t count);
POME_API pome_status pome_model_write_parameter(pome_model* model, size_t index,
                                                const float* values, size_t count);

/* Writes the weights as a model file, .ane for a program, .bin (llama2.c) or .safetensors for a
 * language model. The file appears whole or not at all. */
POME_API pome_status pome_model_save(pome_model* model, const char* path);

/* ---- checkpoints --------------------------------------------------------------------------- */

/* Weights, moments, updates and loss scale as a directory that appears whole or not at all; an
 * older one of that name is replaced. A model that reads it goes on with the same losses, bit for
 * bit. */
POME_API pome_status pome_model_save_checkpoint(pome_model* model, const char* directory);
/* Errors: POME_IO, POME_MALFORMED_FILE, POME_CHECKPOINT_MISMATCH; then nothing has changed. */
POME_API pome_status pome_model_load_checkpoint(pome_model* model, const char* directory);

#ifdef __cplusplus
}
#endif

#endif /* POME_POME_H */
