#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/apple/machine.h"
#include "device/apple/objc_runtime.h"
#include "device/device.h"

namespace pome::device::apple {

/// Which programs are compiled and evaluated in a child process first, where a crash or a hang of
/// the system costs nothing.
enum class Trial : std::uint8_t {
    off,
    first,  ///< the known-answer programs, when the device is opened
    every,  ///< and every program whose text is new
};

struct Options {
    /// Tried in this order; the first that passes its checks is used.
    std::vector<std::string> routes = {"in-memory", "client"};
    /// A library that stands for the system's (HACKING.md); empty: the system's own.
    std::string runtime = runtime_from_environment();
    bool canary = true;  ///< known answers when it is opened, and the first evaluations of a text
    Trial trial = Trial::off;
    /// The program that runs trials, with its first arguments; route, seconds and, for a program,
    /// its directory are added. See run_trial().
    std::vector<std::string> trial_command;
    double trial_seconds = 120;
    double compile_seconds = 600;
    double evaluate_seconds = 60;
    /// NaN is looked for in the outputs of a program's first evaluations, then in every 64th.
    bool check_nan = true;
    /// Whose limits and rules programs are held to, by the name of the built-in profile
    /// ("m4/in-memory"); empty: the built-in one's. What was measured on this system goes here.
    std::function<Profile(const std::string& name, const Machine& machine, bool is_stand_in)>
        profile = {};
    /// Bytes of a surface that does not say its own; no fewer than the profile's minimum.
    std::size_t least_allocation = 0;
    bool keep_failed_programs = true;       ///< for whoever looks into a refusal
    std::filesystem::path failed_programs;  ///< empty: failed_programs_place()
    /// Whose budgets count; nullptr: for the system's own runtime this process's, for a stand-in
    /// the device's.
    std::shared_ptr<Process> process = nullptr;

    /// The environment variable POME_APPLE_RUNTIME.
    static std::string runtime_from_environment();
};

/// The engine of this machine.
class AppleDevice : public Device {
  public:
    /// "Apple M4 Max (Mac16,5), ...": what runs the programs.
    virtual const Machine& machine() const = 0;
    virtual const Runtime& runtime() const = 0;
    /// Whether a library stands in for the system: then nothing runs on an engine.
    virtual bool is_stand_in() const = 0;
    /// Evaluations that the system reported as done, canaries included.
    virtual std::int64_t engine_evaluations() const = 0;
    /// What should be known of it: routes that were passed over, an unknown chip, canaries without
    /// a verdict. One sentence each.
    virtual std::vector<std::string> remarks() const = 0;

  protected:
    using Device::Device;
};

/// Opens the engine: loads the framework, compares every class, selector and type that is used with
/// the list, refuses virtual machines, and evaluates programs with known answers. Throws
/// Error{unsupported} saying what is missing and the way out, or what each route failed with.
std::unique_ptr<AppleDevice> open_apple_device(const Options& options);

/// The child's half of a trial: opens the device with these options, with canary and without
/// trial; compiles and evaluates the program in `directory` (model.mil and weights/), when that is
/// not empty. Throws what went wrong.
void run_trial(Options options, const std::filesystem::path& directory);

}  // namespace pome::device::apple
