// The headers in C++11, together.
#include <pome/ane_bridge.h>
#include <pome/ane_universal.h>
#include <pome/pome.h>

int main() {
    pome_device* device = nullptr;
    const bool opened = pome_device_open("reference", nullptr, &device) == POME_OK;
    pome_device_close(device);
    return opened && ane_abi_version() == ANE_ABI_VERSION ? 0 : 1;
}
