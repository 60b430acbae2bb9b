/* The universal runtime in a training loop: y = x is learned, weights are saved and read again. Prints the losses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ane_universal.h"

static void expect(int fine, const char *what) {
    if (!fine) {
        fprintf(stderr, "FAILED: %s: %s\n", what, ane_last_error());
        exit(1);
    }
}

int main(int argc, char **argv) {
    enum { channels = 64, positions = 32, elements = channels * positions, steps = 40 };
    const char *kind = argc > 1 ? argv[1] : "dynamic";
    ane_shape_t shape = {4, {1, channels, 1, positions}, ANE_FLOAT32};
    static float data[elements], result[elements];
    double first = 0.0, loss = 0.0;
    for (int i = 0; i < elements; ++i) {
        data[i] = (float)(i * 37 % 101) / 101.0f - 0.5f;
    }
    ane_device_t device = ane_open();
    expect(device != NULL, "open");
    ane_pipeline_t pipeline = strcmp(kind, "static") == 0 ? ane_create_static_pipeline(device)
                                                          : ane_create_dynamic_pipeline(device);
    expect(pipeline != NULL, "pipeline");
    ane_weights_t weights = ane_load_weights("model.ane");
    expect(weights != NULL, "weights");
    expect(ane_bind_weights(pipeline, weights) == 0, "bind");
    expect(ane_set_optimizer(pipeline, ANE_ADAMW) == 0, "optimizer");
    ane_tensor_t input = ane_create_tensor(device, shape, data);
    for (int step = 0; step < steps; ++step) {
        ane_tensor_t output = ane_forward(pipeline, input);
        expect(output != NULL, "forward");
        ane_tensor_t grad = ane_backward(pipeline, output, input);
        expect(grad != NULL, "backward");
        expect(ane_tensor_loss(grad, &loss) == 0, "loss");
        first = step == 0 ? loss : first;
        expect(ane_update_weights(pipeline, grad, 5e-3) == 0, "update");
        ane_destroy_tensor(output);
        ane_destroy_tensor(grad);
    }
    printf("%s %s: loss %.6f, after %d steps %.6f\n", ane_device_name(device), kind, first, steps,
           loss);
    expect(loss < first / 8, "learning");
    expect(ane_save_weights(weights, "trained.ane") == 0, "save");
    ane_destroy_weights(weights);

    /* What was saved gives the output of the trained model. */
    ane_weights_t again = ane_load_weights("trained.ane");
    expect(ane_bind_weights(pipeline, again) == 0, "bind again");
    ane_tensor_t output = ane_forward(pipeline, input);
    expect(ane_read_tensor(output, result, elements) == 0, "read");
    double sum = 0.0;
    for (int i = 0; i < elements; ++i) {
        sum += (double)(result[i] - data[i]) * (double)(result[i] - data[i]);
    }
    expect(sum / elements < first / 8, "what was saved");
    ane_destroy_weights(again);
    ane_close(device);
    ane_close(device); /* twice does nothing */
    return 0;
}
