// ane_universal.h — auto-detects chip capabilities
#include "ane_universal.h"

/* Everything between the two lines is the published listing, word for word. Added are main and the variables that it
 * leaves open: shape, data, learning_rate before it, target where its device is there. */
int main(void) {
    ane_shape_t shape = {4, {1, 64, 1, 32}, ANE_FLOAT32};
    float data[64 * 32];
    float learning_rate = 0.1f;
    for (int i = 0; i < 64 * 32; ++i) {
        data[i] = (float)(i * 37 % 101) / 101.0f;
    }
    /* ---------------------------------------------------------------------------------------- */
ane_device_t device = ane_open();

// Check capabilities
bool has_inmem = ane_supports_inmem(device);  // true on all chips now
bool has_dynamic = ane_supports_dynamic(device);  // true on M4+ only

// Select best pipeline
ane_pipeline_t pipeline;
if (has_dynamic) {
    pipeline = ane_create_dynamic_pipeline(device);
} else {
    pipeline = ane_create_static_pipeline(device);
}

// Load weights (128-byte header format)
ane_weights_t weights = ane_load_weights("model.ane");
ane_bind_weights(pipeline, weights);

// Forward pass
    ane_tensor_t target = ane_create_tensor(device, shape, data); /* added */
ane_tensor_t input = ane_create_tensor(device, shape, data);
ane_tensor_t output = ane_forward(pipeline, input);

// Backward pass (training)
ane_tensor_t grad = ane_backward(pipeline, output, target);
ane_update_weights(pipeline, grad, learning_rate);

ane_close(device);
    /* ---------------------------------------------------------------------------------------- */
    return has_inmem && ane_last_status() == 0 ? 0 : 1;
}
