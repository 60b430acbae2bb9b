#include "formats/tiny_checkpoint.h"

#include <limits>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "formats/tensors.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.tiny_checkpoint";
constexpr std::uint64_t header_bytes = 64;
constexpr std::int64_t largest_size = 1 << 24;

std::int64_t positive(const ByteReader& in, std::uint64_t at, std::string_view name) {
    const std::int64_t size = in.i32(at);
    if (size < 1 || size > largest_size) {
        in.fail_at(at, "{} is {}; is this a tiny_train checkpoint?", name, size);
    }
    return size;
}

}  // namespace

TinyCheckpoint parse_tiny_checkpoint(std::span<const std::byte> bytes, std::string_view source) {
    const ByteReader in(bytes, here, source);
    in.bytes(0, header_bytes);
    TinyCheckpoint c;
    c.step = in.i32(0);
    if (c.step < 0) {
        in.fail_at(0, "step is {}; is this a tiny_train checkpoint?", c.step);
    }
    c.loss = in.f32(4);
    c.width = positive(in, 8, "D");
    c.hidden = positive(in, 12, "H");
    c.positions = positive(in, 16, "S");
    c.total_steps = positive(in, 20, "total_steps");
    c.learning_rate = in.f32(24);
    // Sizes up to 2^24: their product fits 64 bits.
    const auto elements = static_cast<std::uint64_t>(c.width * c.hidden);
    const std::uint64_t wanted = header_bytes + 8 * elements;
    if (in.size() != wanted) {
        in.fail_at(0, "{} bytes, a checkpoint of these sizes has {}; truncated, or another file",
                   in.size(), wanted);
    }
    std::uint64_t at = header_bytes;
    c.w1 = take_floats(in, at, elements, "W1");
    c.w2 = take_floats(in, at, elements, "W2");
    return c;
}

TinyCheckpoint read_tiny_checkpoint(const std::filesystem::path& path) {
    const MappedFile file(path);
    return parse_tiny_checkpoint(file.bytes(), path.string());
}

void write_tiny_checkpoint(const std::filesystem::path& path, const TinyCheckpoint& c) {
    const auto count = [&](std::string_view name, std::int64_t value, std::int64_t most) {
        if (value < 0 || value > most) {
            fail(Code::invalid_argument, here,
                 "{}: {} is {}, a tiny_train checkpoint holds 0 to {}", path.string(), name, value,
                 most);
        }
        return static_cast<std::int32_t>(value);
    };
    ByteWriter out;
    out.put(count("step", c.step, std::numeric_limits<std::int32_t>::max()));
    out.put(c.loss);
    out.put(count("D", c.width, largest_size));
    out.put(count("H", c.hidden, largest_size));
    out.put(count("S", c.positions, largest_size));
    out.put(count("total_steps", c.total_steps, largest_size));
    out.put(c.learning_rate);
    out.pad_to(header_bytes);
    for (const auto& [name, weights] : {std::pair{"W1", &c.w1}, std::pair{"W2", &c.w2}}) {
        if (static_cast<std::int64_t>(weights->size()) != c.width * c.hidden) {
            fail(Code::invalid_argument, here, "{}: {} has {} values, {} times {} were expected",
                 path.string(), name, weights->size(), c.width, c.hidden);
        }
        out.put_bytes(std::as_bytes(std::span(*weights)));
    }
    write_file_atomic(path, out.bytes());
}

}  // namespace pome::formats
