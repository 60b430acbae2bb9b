#pragma once

#include <memory>
#include <mutex>

#include "capi/handles.h"
#include "device/surface.h"
#include "pome/pome.h"

namespace pome::capi {

struct SurfaceHandle : Object {
    device::Surface surface;
    std::mutex mutex;  ///< of copies in and out
};

std::shared_ptr<SurfaceHandle> surface_of(pome_surface* surface);

}  // namespace pome::capi
