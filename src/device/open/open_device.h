#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "device/device.h"
#include "device/emulator/emulator.h"

namespace pome::device {

/// How the device "apple" deals with the system; nothing for the others.
struct EngineRequest {
    /// What a child process tries before this one does: "off", "first" (the device's own check) or
    /// "every" (every new program too). The others than "off" need a command.
    std::string trial = "off";
    std::vector<std::string> trial_command;  ///< device/apple/apple_device.h, Options
    double call_seconds = 60;  ///< the longest evaluation; compiles may take five times as long
    bool required = false;     ///< nothing but this machine's engine will do
};

/// A device as people write it.
struct DeviceRequest {
    std::string device = "emulator:m4";
    std::string numerics = "exact";
    std::string strictness = "strict";
    emulator::Counting counting = emulator::Counting::products;
    /// A file of `pome probe`, whose values replace those of an emulator's profile; empty: none.
    std::string facts = {};
    EngineRequest engine = {};
    /// Is told what should be known of the device, a sentence each; may be empty.
    std::function<void(const std::string&)> note = {};
};

/// Opens "reference", "emulator:CHIP[/ROUTE][+ALTERNATIVE]", "apple[:ROUTE,...]" or "auto", which
/// is the engine where it passes its checks and otherwise, as a note says, an emulated one;
/// `numerics` is "exact" or "fast", `strictness` "strict" or "as-hardware". The pool must outlive
/// the device. Throws Error{invalid_argument} listing what there is, Error{unsupported} where the
/// engine cannot be used.
std::unique_ptr<Device> open_device(const DeviceRequest& request, ThreadPool& pool);

/// The routes that "apple" (all of them) or "apple:ROUTE,..." asks for, in their order and
/// unchecked; none for the name of another device.
std::vector<std::string> engine_routes(const std::string& name);

/// The profile of "emulator:CHIP[/ROUTE][+ALTERNATIVE]", or of this machine for "apple[:ROUTE]".
const Profile& find_device_profile(const std::string& name);

}  // namespace pome::device
