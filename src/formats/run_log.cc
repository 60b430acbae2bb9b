#include "formats/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/bytes.h"
#include "base/crash_point.h"
#include "base/file.h"
#include "formats/json_text.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.run_log";
constexpr int deepest_record = 16;

/// Calls action(record, line with its end) for each whole line; returns the length of all of them.
template <typename Action>
std::size_t for_each_record(std::span<const std::byte> bytes, std::string_view source,
                            const Action& action) {
    const ByteReader in(bytes, here, source);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::size_t at = 0, number = 1;
    for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', at)) {
        nlohmann::json record;
        try {
            record = parse_json(in, at, end - at, deepest_record);
        } catch (const Error&) {
            in.fail_at(at, "line {} is no sound JSON text", number);
        }
        if (!record.is_object()) {
            in.fail_at(at, "line {} is no JSON object", number);
        }
        action(std::move(record), text.substr(at, end + 1 - at));
        at = end + 1;
        ++number;
    }
    return at;
}

bool before(const nlohmann::json& record, std::int64_t first_step) {
    const auto step = record.find("step");
    return step == record.end() || !step->is_number() ||
           step->get<double>() < static_cast<double>(first_step);
}

[[noreturn]] void fail_io(const std::filesystem::path& path, std::string_view doing, int error) {
    fail(Code::io, here, "{}: cannot {}: {}", path.string(), doing,
         std::generic_category().message(error));
}

}  // namespace

RunLog::RunLog(std::filesystem::path path) : path_(std::move(path)) {
    if (std::filesystem::exists(path_)) {
        const std::string text = read_text(path_);
        const auto end = text.rfind('\n') + 1;  // 0 when there is no line
        if (end != text.size()) {
            write_file_atomic(path_, std::string_view(text).substr(0, end));
        }
    }
    open();
}

RunLog::RunLog(std::filesystem::path path, std::int64_t first_step) : path_(std::move(path)) {
    if (std::filesystem::exists(path_)) {
        const auto bytes = read_file(path_);
        std::string kept;
        for_each_record(bytes, path_.string(),
                        [&](const nlohmann::json& record, std::string_view line) {
                            if (before(record, first_step)) {
                                kept += line;
                            }
                        });
        if (kept.size() != bytes.size()) {
            write_file_atomic(path_, kept);
        }
    }
    open();
}

void RunLog::open() {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) {
        fail_io(path_, "open", errno);
    }
}

RunLog::~RunLog() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

void RunLog::append(const nlohmann::json& record) {
    if (!record.is_object()) {
        fail(Code::invalid_argument, here, "{}: a record must be a JSON object, not {}",
             path_.string(), record.type_name());
    }
    std::string line;
    try {
        line = record.dump() + "\n";
    } catch (const nlohmann::json::exception&) {
        fail(Code::invalid_argument, here, "{}: a record has text that is no UTF-8",
             path_.string());
    }
    crash_point("log.append");
    const off_t before = ::lseek(descriptor_, 0, SEEK_END);
    for (std::string_view rest = line; !rest.empty();) {
        const ssize_t n = ::write(descriptor_, rest.data(), rest.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            const int error = errno;
            // No half record may stay: the next one would be joined to it.
            if (::ftruncate(descriptor_, before) != 0) {
                fail_io(path_, "undo a torn record", errno);
            }
            fail_io(path_, "write", error);
        }
        rest.remove_prefix(static_cast<std::size_t>(n));
    }
    crash_point("log.appended");
}

std::vector<nlohmann::json> parse_run_log(std::span<const std::byte> bytes,
                                          std::string_view source) {
    std::vector<nlohmann::json> records;
    for_each_record(bytes, source, [&](nlohmann::json record, std::string_view) {
        records.push_back(std::move(record));
    });
    return records;
}

std::vector<nlohmann::json> read_run_log(const std::filesystem::path& path) {
    const MappedFile file(path);
    return parse_run_log(file.bytes(), path.string());
}

}  // namespace pome::formats
