#include "formats/blzt.h"

#include <cstring>

#include "base/bytes.h"
#include "base/file.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.blzt";
constexpr std::uint32_t magic = 0x424C5A54;  // "BLZT" read as an integer: bytes 54 5A 4C 42
constexpr std::uint64_t header_bytes = 96;
constexpr std::int64_t largest_size = 1 << 24;

struct Part {
    std::string_view name;  // after "layers.N."
    Shape shape;
};

/// The tensors of a layer in the file's order.
std::vector<Part> layer_parts(const BlztCheckpoint& c) {
    const std::int64_t kv = c.kv_heads * c.head_size;
    return {{"attention.wq.weight", {c.query_width, c.width}},
            {"attention.wk.weight", {kv, c.width}},
            {"attention.wv.weight", {kv, c.width}},
            {"attention.wo.weight", {c.width, c.query_width}},
            {"feed_forward.w1.weight", {c.hidden, c.width}},
            {"feed_forward.w2.weight", {c.width, c.hidden}},
            {"feed_forward.w3.weight", {c.hidden, c.width}},
            {"attention_norm.weight", {c.width}},
            {"ffn_norm.weight", {c.width}}};
}

std::int64_t positive(const ByteReader& in, std::uint64_t at, std::string_view name) {
    const std::int64_t size = in.i32(at);
    if (size < 1 || size > largest_size) {
        in.fail_at(at, "{} is {}, it must be from 1 to {}", name, size, largest_size);
    }
    return size;
}

std::int64_t count(const ByteReader& in, std::uint64_t at, std::string_view name) {
    const std::int64_t value = in.i32(at);
    if (value < 0) {
        in.fail_at(at, "{} is {}, a count cannot be negative", name, value);
    }
    return value;
}

/// Version 2 has no key/value heads of their own: its heads divide the width.
void read_heads(const ByteReader& in, BlztCheckpoint& c) {
    if (c.version == 2) {
        if (c.width % c.heads != 0) {
            in.fail_at(32, "dim {} is no multiple of n_heads {}", c.width, c.heads);
        }
        c.kv_heads = c.heads;
        c.head_size = c.width / c.heads;
        c.query_width = c.width;
    } else {
        c.kv_heads = positive(in, 84, "kv_heads");
        c.head_size = positive(in, 88, "head_dim");
        c.query_width = positive(in, 92, "q_dim");
        if (c.heads % c.kv_heads != 0) {
            in.fail_at(84, "n_heads {} is no multiple of kv_heads {}", c.heads, c.kv_heads);
        }
        if (c.query_width != c.heads * c.head_size) {
            in.fail_at(92, "q_dim is {}, but n_heads {} times head_dim {} is {}", c.query_width,
                       c.heads, c.head_size, c.heads * c.head_size);
        }
    }
}

BlztCheckpoint read_header(const ByteReader& in) {
    if (in.u32(0) != magic) {
        in.fail_at(0, "magic is {:#010x}, not 0x424c5a54; is this a BLZT checkpoint?", in.u32(0));
    }
    in.bytes(0, header_bytes);
    BlztCheckpoint c;
    c.version = in.i32(4);
    if (c.version != 2 && c.version != 4) {
        in.fail_at(4, "version {} is unknown; 2 and 4 are read", c.version);
    }
    c.step = count(in, 8, "step");
    c.total_steps = count(in, 12, "total_steps");
    c.layers = positive(in, 16, "n_layers");
    c.vocabulary = positive(in, 20, "vocab");
    c.width = positive(in, 24, "dim");
    c.hidden = positive(in, 28, "hidden");
    c.heads = positive(in, 32, "n_heads");
    c.sequence = positive(in, 36, "seq");
    c.learning_rate = in.f32(40);
    c.loss = in.f32(44);
    c.adam_updates = count(in, 80, "adam_t");
    read_heads(in, c);
    return c;
}

/// Length of the file in bytes: header, and three floats a parameter. Products of three sizes reach
/// 2^72, beyond integers; in doubles every length that a file can have is exact and no other length
/// is mistaken for it.
double file_length(const BlztCheckpoint& c) {
    double layer = 0.0;
    for (const Part& part : layer_parts(c)) {
        double elements = 1.0;
        for (const std::int64_t size : part.shape) {
            elements *= static_cast<double>(size);
        }
        layer += elements;
    }
    const auto width = static_cast<double>(c.width);
    const double parameters =
        static_cast<double>(c.layers) * layer + width + static_cast<double>(c.vocabulary) * width;
    return static_cast<double>(header_bytes) + 12.0 * parameters;
}

}  // namespace

bool is_blzt(std::span<const std::byte> bytes) {
    std::uint32_t start = 0;
    if (bytes.size() < sizeof start) {
        return false;
    }
    std::memcpy(&start, bytes.data(), sizeof start);
    return start == magic;
}

BlztCheckpoint parse_blzt(std::span<const std::byte> bytes, std::string_view source) {
    const ByteReader in(bytes, here, source);
    BlztCheckpoint c = read_header(in);
    const double wanted = file_length(c);
    if (wanted != static_cast<double>(in.size())) {
        in.fail_at(
            0, "{} bytes, a checkpoint of these sizes has {:.0f}; truncated, or not written whole",
            in.size(), wanted);
    }
    std::uint64_t at = header_bytes;
    const auto parts = layer_parts(c);
    for (std::int64_t layer = 0; layer < c.layers; ++layer) {
        const std::uint64_t start = at;
        for (const Part& part : parts) {
            const std::string name = fmt::format("layers.{}.{}", layer, part.name);
            c.tensors[name] = take_tensor(in, at, name, part.shape);
        }
        at += 2 * (at - start);  // Adam's moments of the layer
    }
    c.tensors["norm.weight"] = take_tensor(in, at, "norm.weight", {c.width});
    at += 2 * sizeof(float) * static_cast<std::uint64_t>(c.width);
    c.tensors["embedding.weight"] =
        take_tensor(in, at, "embedding.weight", {c.vocabulary, c.width});
    return c;
}

BlztCheckpoint read_blzt(const std::filesystem::path& path) {
    const MappedFile file(path);
    return parse_blzt(file.bytes(), path.string());
}

}  // namespace pome::formats
