#include "formats/json_text.h"

#include <set>
#include <string>
#include <vector>

namespace pome::formats {
namespace {

using nlohmann::json;

/// Looks at every event of the parser before a value is built. The parser is iterative: only what
/// is built from it could recurse, which the depth limit prevents.
class Watcher : public json::json_sax_t {
  public:
    Watcher(const ByteReader& in, std::uint64_t at, int depth)
        : in_(in), at_(at), depth_(static_cast<std::size_t>(depth)) {}

    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return true; }
    bool start_object(std::size_t) override { return enter(); }
    bool end_object() override { return leave(); }
    bool start_array(std::size_t) override { return enter(); }
    bool end_array() override { return leave(); }
    bool key(string_t& name) override {
        if (!keys_.back().insert(name).second) {
            in_.fail_at(at_, "the JSON text has the key '{}' twice in one object", name);
        }
        return true;
    }
    bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
        in_.fail_at(at_ + (position == 0 ? 0 : position - 1), "this is no JSON text; truncated?");
    }

  private:
    bool enter() {
        if (keys_.size() == depth_) {
            in_.fail_at(at_, "the JSON text nests deeper than {} levels", depth_);
        }
        keys_.emplace_back();
        return true;
    }
    bool leave() {
        keys_.pop_back();
        return true;
    }

    const ByteReader& in_;
    std::uint64_t at_;
    std::size_t depth_;
    std::vector<std::set<std::string>> keys_;
};

}  // namespace

json parse_json(const ByteReader& in, std::uint64_t at, std::uint64_t length, int depth) {
    const auto bytes = in.bytes(at, length);
    const auto* first = reinterpret_cast<const char*>(bytes.data());
    Watcher watcher(in, at, depth);
    json::sax_parse(first, first + bytes.size(), &watcher);
    return json::parse(first, first + bytes.size(), nullptr, false);
}

}  // namespace pome::formats
