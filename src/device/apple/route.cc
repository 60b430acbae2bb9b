#include "device/apple/route.h"

#include <chrono>
#include <thread>

namespace pome::device::apple {

std::vector<std::string> known_apple_routes() {
    return {"in-memory", "client"};
}

std::unique_ptr<Route> make_route(std::string_view name, std::shared_ptr<const Runtime> runtime,
                                  std::shared_ptr<ModelDirectories> directories) {
    if (name == "in-memory") {
        runtime->require(Need::in_memory);
        return make_in_memory_route(std::move(runtime), std::move(directories));
    }
    if (name == "client") {
        runtime->require(Need::client);
        return make_client_route(std::move(runtime), std::move(directories));
    }
    fail(Code::invalid_argument, "device.apple",
         "there is no route '{}' to the engine; there are: in-memory, client", name);
}

void load_with_retry(const Runtime& runtime, const std::shared_ptr<ModelDirectory>& files,
                     const std::function<bool(Id*)>& attempt) {
    for (const bool again : {true, false}) {
        Id error = nullptr;
        if (attempt(&error)) {
            return;
        }
        const SystemError said = error_of(runtime, error);
        if (!again || said.text.find("0x50004") == std::string::npos) {
            throw Refusal{Stage::load, said, files};
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

}  // namespace pome::device::apple
