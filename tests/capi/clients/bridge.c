/* A program as they are written for the trainers' bridge: a baked 1x1 convolution with fp32 surfaces. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ane_bridge.h"

static const char *mil =
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}})]\n{\n"
    "    func main<ios18>(tensor<fp32, [1, 64, 1, 16]> x) {\n"
    "        string pt = const()[name = string(\"pt\"), val = string(\"valid\")];\n"
    "        tensor<int32, [2]> st = const()[name = string(\"st\"), val = tensor<int32, [2]>([1, 1])];\n"
    "        tensor<int32, [4]> pd = const()[name = string(\"pd\"), val = tensor<int32, [4]>([0, 0, 0, 0])];\n"
    "        tensor<int32, [2]> dl = const()[name = string(\"dl\"), val = tensor<int32, [2]>([1, 1])];\n"
    "        int32 gr = const()[name = string(\"gr\"), val = int32(1)];\n"
    "        string to16 = const()[name = string(\"to16\"), val = string(\"fp16\")];\n"
    "        tensor<fp16, [1, 64, 1, 16]> x16 = cast(dtype = to16, x = x)[name = string(\"x16\")];\n"
    "        tensor<fp16, [128, 64, 1, 1]> W = const()[name = string(\"W\"), val = tensor<fp16, [128, 64, 1, 1]>"
    "(BLOBFILE(path = string(\"@model_path/weights/weight.bin\"), offset = uint64(64)))];\n"
    "        tensor<fp16, [1, 128, 1, 16]> y16 = conv(dilations = dl, groups = gr, pad = pd, pad_type = pt, "
    "strides = st, weight = W, x = x16)[name = string(\"y16\")];\n"
    "        string to32 = const()[name = string(\"to32\"), val = string(\"fp32\")];\n"
    "        tensor<fp32, [1, 128, 1, 16]> y = cast(dtype = to32, x = y16)[name = string(\"y\")];\n"
    "    } -> (y);\n}\n";

static void expect(int fine, const char *what) {
    if (!fine) {
        fprintf(stderr, "FAILED: %s: %s\n", what, ane_bridge_last_error());
        exit(1);
    }
}

int main(void) {
    enum { in = 64, out = 128, columns = 16 };
    static float weight[out * in], x[in * columns], y[out * columns];
    size_t blob_bytes = 0, input_bytes = sizeof x, output_bytes = sizeof y, short_bytes = 8;
    for (int i = 0; i < out * in; ++i) {
        weight[i] = (float)(i % 7 - 3) / 8.0f;
    }
    for (int i = 0; i < in * columns; ++i) {
        x[i] = (float)(i % 5 - 2) / 4.0f;
    }
    expect(ane_bridge_init() == 0, "init");
    uint8_t *blob = ane_bridge_build_weight_blob(weight, out, in, &blob_bytes);
    expect(blob != NULL && blob_bytes == 128 + 2 * sizeof weight / 4, "blob");
    expect(ane_bridge_compile(mil, strlen(mil), blob, blob_bytes, 1, &short_bytes, 1,
                              &output_bytes) == NULL, "a surface too small for its tensor");
    ane_bridge_reset_compile_count();
    ANEKernelHandle *kernel = ane_bridge_compile(mil, strlen(mil), blob, blob_bytes, 1, &input_bytes,
                                                 1, &output_bytes);
    expect(kernel != NULL, "compile");
    expect(ane_bridge_get_compile_count() == 1, "count");
    ane_bridge_free_blob(blob);
    ane_bridge_write_input(kernel, 0, x, sizeof x);
    expect(ane_bridge_eval(kernel), "eval");
    ane_bridge_read_output(kernel, 0, y, sizeof y);
    for (int o = 0; o < out; ++o) {
        for (int s = 0; s < columns; ++s) {
            float sum = 0.0f; /* exact: eighths and quarters */
            for (int i = 0; i < in; ++i) {
                sum += weight[o * in + i] * x[i * columns + s];
            }
            expect(y[o * columns + s] == sum, "the product");
        }
    }
    ane_bridge_write_input(kernel, 0, x, sizeof x + 1);
    expect(!ane_bridge_eval(kernel) && strstr(ane_bridge_last_error(), "4097 bytes for input 0") != NULL,
           "a write that is too large");
    expect(ane_bridge_eval(kernel), "and then again");
    ane_bridge_free(kernel);
    expect(!ane_bridge_eval(kernel), "a freed kernel");
    puts("bridge: done");
    return 0;
}
