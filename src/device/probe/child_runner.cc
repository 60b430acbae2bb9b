#include "device/probe/child_runner.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "mil/text.h"

namespace pome::device::probe {
namespace {

// Orders and answers are CBOR: it has bytes and infinities, which JSON's text has not.
using Json = nlohmann::json;
constexpr std::string_view here = "device.probe";
constexpr std::uint64_t largest = std::uint64_t{256} << 20;

std::filesystem::path orders_file(const std::filesystem::path& directory) {
    return directory / "orders.cbor";
}
std::filesystem::path answer_file(const std::filesystem::path& directory, std::size_t number) {
    return directory / fmt::format("answer_{}.cbor", number);
}

void save(const std::filesystem::path& path, const Json& json) {
    std::string bytes;
    Json::to_cbor(json, bytes);
    write_file_atomic(path, bytes);
}

Json load(const std::filesystem::path& path) {
    return Json::from_cbor(read_text(path, largest));
}

Json packed(const mil::Package& package) {
    Json weights = Json::object();
    for (const auto& [path, bytes] : package.weights.files()) {
        const auto* first = reinterpret_cast<const std::uint8_t*>(bytes->data());
        weights[path] = Json::binary({first, first + bytes->size()});
    }
    return {{"text", mil::write(package.program)}, {"weights", weights}};
}

mil::Package unpacked(const Json& json) {
    mil::Package package;
    package.program = mil::read(json.at("text").get<std::string>(), "a trial's program");
    for (const auto& [path, bytes] : json.at("weights").items()) {
        const auto& binary = bytes.get_binary();
        const auto* first = reinterpret_cast<const std::byte*>(binary.data());
        package.weights.add(path, std::vector<std::byte>(first, first + binary.size()));
    }
    return package;
}

Json order_of(const Trial& trial) {
    Json inputs = Json::array();
    for (const TextInput& input : trial.inputs) {
        inputs.push_back({{"name", input.name},
                          {"shape", input.shape.sizes()},
                          {"dtype", static_cast<int>(input.dtype)},
                          {"values", input.values},
                          {"allocation", input.allocation}});
    }
    return {{"package", packed(trial.package)},
            {"evaluate", trial.evaluate},
            {"inputs", inputs},
            {"output_allocation", trial.output_allocation}};
}

Trial trial_of(const Json& json) {
    Trial trial;
    trial.package = unpacked(json.at("package"));
    trial.evaluate = json.at("evaluate").get<bool>();
    trial.output_allocation = json.at("output_allocation").get<std::size_t>();
    for (const Json& input : json.at("inputs")) {
        TextInput made;
        made.name = input.at("name").get<std::string>();
        const auto sizes = input.at("shape").get<std::vector<std::int64_t>>();
        made.shape = Shape(sizes);
        made.dtype = static_cast<DType>(input.at("dtype").get<int>());
        made.values = input.at("values").get<std::vector<double>>();
        made.allocation = input.at("allocation").get<std::size_t>();
        trial.inputs.push_back(std::move(made));
    }
    return trial;
}

std::string last_words(const ChildEnd& end) {
    const std::string how = end.came_back
                                ? fmt::format("its process ended with status {}", end.status)
                                : "its process was stopped";
    return end.said.empty() ? how : how + ": " + end.said;
}

/// A child that came back, but with nothing done, does not do trials.
[[noreturn]] void fail_service(const ChildEnd& end) {
    fail(Code::unsupported, here, "trials are not run: {}", last_words(end));
}

/// `use` on what the child wrote. Throws Error{malformed_file}.
template <typename Use>
auto answer_of(const std::filesystem::path& file, Use use) {
    try {
        return use(load(file));
    } catch (const Json::exception& error) {
        fail(Code::malformed_file, here, "{}: {}", file.string(), error.what());
    }
}

}  // namespace

std::filesystem::path ChildRunner::next_directory() {
    const auto directory = options_.directory / fmt::format("call_{}", calls_++);
    std::error_code error;
    std::filesystem::create_directory(directory, error);
    if (error) {
        fail(Code::io, here, "{}: {}", directory.string(), error.message());
    }
    return directory;
}

std::vector<Outcome> ChildRunner::run(std::span<const Trial> trials) {
    const auto directory = next_directory();
    Json orders = Json::array();
    auto limit = options_.opening;
    for (const Trial& trial : trials) {
        orders.push_back(order_of(trial));
        limit += std::max(trial.limit, options_.trial) + options_.rest;
    }
    save(orders_file(directory), {{"trials", orders}, {"rest", options_.rest.count()}});
    const ChildEnd end = options_.start(directory, std::chrono::duration<double>(limit).count());
    if (end.came_back && end.status != 0 && !std::filesystem::exists(answer_file(directory, 0))) {
        fail_service(end);
    }
    std::vector<Outcome> outcomes;
    for (std::size_t i = 0; i < trials.size(); ++i) {
        const auto file = answer_file(directory, i);
        if (!std::filesystem::exists(file)) {
            outcomes.push_back({Outcome::Status::stopped, last_words(end), {}});
            continue;
        }
        outcomes.push_back(answer_of(file, [](const Json& answer) -> Outcome {
            return {static_cast<Outcome::Status>(answer.at("status").get<int>()),
                    answer.at("message").get<std::string>(),
                    answer.at("values").get<std::vector<double>>()};
        }));
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    return outcomes;
}

Exhaustion ChildRunner::exhaust(const mil::Package& package, bool hold, std::int64_t most) {
    const auto directory = next_directory();
    save(orders_file(directory), {{"exhaust", packed(package)},
                                  {"hold", hold},
                                  {"most", most},
                                  {"rest", options_.rest.count()}});
    const auto limit =
        options_.opening + most * std::chrono::milliseconds(5000) + options_.trial + options_.rest;
    const ChildEnd end = options_.start(directory, std::chrono::duration<double>(limit).count());
    if (!std::filesystem::exists(answer_file(directory, 0))) {
        fail_service(end);
    }
    const Exhaustion found =
        answer_of(answer_file(directory, 0), [](const Json& answer) -> Exhaustion {
            return {answer.at("compiled").get<std::int64_t>(),
                    answer.at("message").get<std::string>()};
        });
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    return found;
}

void run_child_trials(const std::filesystem::path& directory,
                      const std::function<std::unique_ptr<Device>()>& open) {
    try {
        const Json orders = load(orders_file(directory));
        DeviceRunner runner(open);
        const std::chrono::milliseconds rest(orders.at("rest").get<std::int64_t>());
        if (orders.contains("exhaust")) {
            const auto found = runner.exhaust(unpacked(orders.at("exhaust")), orders.at("hold"),
                                              orders.at("most"));
            save(answer_file(directory, 0),
                 {{"compiled", found.compiled}, {"message", found.message}});
            if (!found.message.empty()) {
                std::this_thread::sleep_for(rest);
            }
            return;
        }
        std::vector<Trial> trials;
        for (const Json& order : orders.at("trials")) {
            trials.push_back(trial_of(order));
        }
        std::size_t number = 0;
        runner.on_outcome([&](const Outcome& outcome) {
            save(answer_file(directory, number++), {{"status", static_cast<int>(outcome.status)},
                                                    {"message", outcome.message},
                                                    {"values", outcome.values}});
            if (outcome.status == Outcome::Status::refused) {
                std::this_thread::sleep_for(rest);
            }
        });
        runner.run(trials);
    } catch (const Json::exception& error) {
        fail(Code::malformed_file, here, "{}: {}", orders_file(directory).string(), error.what());
    }
}

}  // namespace pome::device::probe
