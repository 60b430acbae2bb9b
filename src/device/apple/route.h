#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/apple/causes.h"
#include "device/apple/model_directory.h"
#include "device/apple/objc_runtime.h"

namespace pome::device::apple {

/// The quality of service that every published program asks for; other values change nothing.
inline constexpr std::uint32_t quality_of_service = 21;

/// A refusal of the system, before anyone has said what it means.
struct Refusal {
    Stage stage;
    SystemError error;
    std::shared_ptr<ModelDirectory> files;  ///< the program's; nullptr when there are none yet
};

/// A program that is compiled and loaded; its end unloads it. THREADS: as its device's.
class Model {
  public:
    virtual ~Model() = default;
    /// Synchronous. Throws Refusal.
    virtual void evaluate(Id request) = 0;
    /// The system hangs: nothing is sent any more, not even at the end.
    void abandon() { abandoned_ = true; }

  protected:
    bool abandoned() const { return abandoned_; }

  private:
    std::atomic<bool> abandoned_{false};
};

/// A way to the engine's compiler and driver.
class Route {
  public:
    virtual ~Route() = default;
    virtual std::string_view name() const = 0;
    /// Writes the files, compiles, loads. Throws Refusal, Error{io}.
    virtual std::shared_ptr<Model> load(const ProgramFiles& files) = 0;
};

/// "in-memory" or "client". Throws Error{invalid_argument} for another, Error{unsupported} when the
/// system lacks what it needs.
std::unique_ptr<Route> make_route(std::string_view name, std::shared_ptr<const Runtime> runtime,
                                  std::shared_ptr<ModelDirectories> directories);
std::unique_ptr<Route> make_in_memory_route(std::shared_ptr<const Runtime> runtime,
                                            std::shared_ptr<ModelDirectories> directories);
std::unique_ptr<Route> make_client_route(std::shared_ptr<const Runtime> runtime,
                                         std::shared_ptr<ModelDirectories> directories);
/// In the order in which they are tried.
std::vector<std::string> known_apple_routes();

/// Calls `attempt` (which returns success and sets an NSError) once more after 100 ms when the
/// engine's slots are taken: earlier programs are released asynchronously. Throws Refusal.
void load_with_retry(const Runtime& runtime, const std::shared_ptr<ModelDirectory>& files,
                     const std::function<bool(Id*)>& attempt);

}  // namespace pome::device::apple
