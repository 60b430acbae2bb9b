#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace pome::formats {

/// A run's metrics: a file of JSON lines, one object a line, only ever appended to. Each record is
/// in the file, whole, when append() returns; a record that could not be written leaves no part of
/// itself. One writer at a time.
class RunLog {
  public:
    /// Opens or creates the log. A last line without its end, torn by a crash, is removed.
    /// Throws Error{io}.
    explicit RunLog(std::filesystem::path path);
    /// For a run that resumes: drops also every record whose "step" is `first_step` or later,
    /// because the run will write it again. Throws Error{malformed_file} for a whole line that is
    /// no record.
    RunLog(std::filesystem::path path, std::int64_t first_step);
    ~RunLog();
    RunLog(const RunLog&) = delete;
    RunLog& operator=(const RunLog&) = delete;

    /// Throws Error{invalid_argument} when the record is no object or has text that is no UTF-8,
    /// Error{io}. Numbers that are not finite become null.
    void append(const nlohmann::json& record);

  private:
    void open();

    std::filesystem::path path_;
    int descriptor_ = -1;
};

/// The records of a log, in order; a torn last line is not one of them. Throws
/// Error{malformed_file} naming the line that is no JSON object.
std::vector<nlohmann::json> parse_run_log(std::span<const std::byte> bytes,
                                          std::string_view source);
std::vector<nlohmann::json> read_run_log(const std::filesystem::path& path);

}  // namespace pome::formats
