/* A client of pome.h: errors, a program on surfaces, a model, a checkpoint. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pome/pome.h>

static void expect(int fine, const char *what) {
    if (!fine) {
        fprintf(stderr, "FAILED: %s: %s: %s\n", what, pome_status_name(pome_last_status()),
                pome_last_error());
        exit(1);
    }
}

static const char *program_text =
    "program(1.3)\n{\n    func main<ios18>(tensor<fp16, [1, 32, 1, 32]> x) {\n"
    "        fp16 two = const()[name = string(\"two\"), val = fp16(0x1p+1)];\n"
    "        tensor<fp16, [1, 32, 1, 32]> y = mul(x = x, y = two)[name = string(\"y\")];\n"
    "    } -> (y);\n}\n";

static void double_numbers(pome_device *device) {
    enum { elements = 32 * 32 };
    static float numbers[elements];
    const pome_tensor_type type = {POME_FLOAT16, 4, {1, 32, 1, 32}};
    pome_compile_options options = {0};
    pome_program *program = NULL;
    pome_surface *x = NULL, *y = NULL;
    options.size = sizeof options;
    options.legalize = 1;
    expect(pome_program_compile(device, program_text, strlen(program_text), NULL, 0, &options,
                                &program) == POME_OK, "compile");
    expect(pome_surface_create(&type, &x) == POME_OK && pome_surface_create(&type, &y) == POME_OK,
           "surfaces");
    for (int i = 0; i < elements; ++i) {
        numbers[i] = (float)i;
    }
    expect(pome_surface_write_floats(x, numbers, elements) == POME_OK, "write");
    const pome_binding bindings[] = {{"x", x}, {"y", y}};
    expect(pome_program_evaluate(program, bindings, 2) == POME_OK, "evaluate");
    expect(pome_surface_read_floats(y, numbers, elements) == POME_OK, "read");
    for (int i = 0; i < elements; ++i) {
        expect(numbers[i] == 2.0f * (float)i, "the result");
    }
    expect(pome_program_evaluate(program, bindings, 1) == POME_BINDING_MISSING, "a missing output");
    pome_surface_destroy(x);
    pome_surface_destroy(y);
    pome_program_destroy(program);
}

static void train(pome_device *device) {
    enum { elements = 64 * 32 };
    static float x[elements], y[elements];
    pome_model *model = NULL, *other = NULL;
    pome_update_rule rule = {0};
    double first = 0.0, loss = 0.0, next = 0.0, resumed = 0.0;
    rule.size = sizeof rule;
    rule.optimizer = POME_ADAMW;
    rule.learning_rate = 5e-3;
    for (int i = 0; i < elements; ++i) {
        x[i] = (float)(i * 37 % 101) / 101.0f - 0.5f;
    }
    expect(pome_model_open(device, "model.ane", NULL, &model) == POME_OK, "model");
    for (int step = 0; step < 20; ++step) {
        expect(pome_model_train_step(model, x, sizeof x, x, sizeof x, &rule, &loss) == POME_OK,
               "step");
        first = step == 0 ? loss : first;
    }
    expect(loss < first / 2, "learning");
    expect(pome_model_save_checkpoint(model, "checkpoint") == POME_OK, "save");
    expect(pome_model_train_step(model, x, sizeof x, x, sizeof x, &rule, &next) == POME_OK, "step");
    expect(pome_model_open(device, "model.ane", NULL, &other) == POME_OK, "another model");
    expect(pome_model_load_checkpoint(other, "checkpoint") == POME_OK, "load");
    expect(pome_model_train_step(other, x, sizeof x, x, sizeof x, &rule, &resumed) == POME_OK,
           "a step after it");
    expect(next == resumed, "the same loss, bit for bit");
    expect(pome_model_forward(model, x, sizeof x, y, sizeof y) == POME_OK, "forward");
    expect(pome_model_forward(model, x, 12, y, sizeof y) == POME_SURFACE_MISMATCH, "a short input");
    printf("%.6f to %.6f, then %.6f\n", first, loss, next);
    pome_model_destroy(model);
    pome_model_destroy(other);
}

int main(int argc, char **argv) {
    pome_device *device = NULL;
    expect(pome_abi_version() == POME_ABI_VERSION, "the version");
    expect(pome_device_open("emulator:m99", NULL, &device) == POME_INVALID_ARGUMENT &&
               strstr(pome_last_error(), "known: m1,") != NULL, "an unknown device");
    expect(pome_device_open(argc > 1 ? argv[1] : NULL, NULL, &device) == POME_OK, "open");
    double_numbers(device);
    train(device);
    pome_device_close(device);
    expect(pome_device_name(device, NULL) == POME_INVALID_HANDLE, "a closed device");
    return 0;
}
