#include "formats/llama2c_model.h"

#include <cmath>
#include <optional>

#include "base/bytes.h"
#include "base/file.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.llama2c";
constexpr std::uint32_t magic = 0x616B3432;  // "ak42"
constexpr std::uint64_t header_v0 = 28, header_v1 = 256;
constexpr std::int64_t largest_size = 1 << 24;

/// One array of the file: a tensor, or one for each layer.
struct Part {
    std::string name;  // "%" stands for the layer
    Shape shape;       // of one layer
    bool per_layer = false;
};

std::vector<Part> parts_in_order(const Llama2cModel& m, int version) {
    const std::int64_t kv = m.width / m.heads * m.kv_heads;
    const Part embedding{"embedding.weight", {m.vocabulary, m.width}};
    const Part norm{"norm.weight", {m.width}};
    const Part attention_norm{"layers.%.attention_norm.weight", {m.width}, true};
    const Part ffn_norm{"layers.%.ffn_norm.weight", {m.width}, true};
    const std::vector<Part> attention{{"layers.%.attention.wq.weight", {m.width, m.width}, true},
                                      {"layers.%.attention.wk.weight", {kv, m.width}, true},
                                      {"layers.%.attention.wv.weight", {kv, m.width}, true},
                                      {"layers.%.attention.wo.weight", {m.width, m.width}, true}};
    const std::vector<Part> feed_forward{
        {"layers.%.feed_forward.w1.weight", {m.hidden, m.width}, true},
        {"layers.%.feed_forward.w2.weight", {m.width, m.hidden}, true},
        {"layers.%.feed_forward.w3.weight", {m.hidden, m.width}, true}};
    std::vector<Part> parts;
    const auto add = [&](const std::vector<Part>& more) {
        parts.insert(parts.end(), more.begin(), more.end());
    };
    if (version == 0) {
        add({embedding, attention_norm});
        add(attention);
        add({ffn_norm});
        add(feed_forward);
        add({norm});
    } else {
        add({attention_norm, ffn_norm, norm, embedding});
        add(attention);
        add(feed_forward);
    }
    return parts;
}

/// Calls action(name, shape) for every tensor before the classifier, in the file's order.
template <typename Action>
void for_each_tensor(const Llama2cModel& m, int version, const Action& action) {
    for (const Part& part : parts_in_order(m, version)) {
        for (std::int64_t layer = 0; layer < (part.per_layer ? m.layers : 1); ++layer) {
            std::string name = part.name;
            if (part.per_layer) {
                name.replace(name.find('%'), 1, std::to_string(layer));
            }
            action(name, part.shape);
        }
    }
}

/// The first rule that the sizes break, if any.
std::optional<std::string> fault_of_sizes(const Llama2cModel& m) {
    const std::pair<std::string_view, std::int64_t> sizes[] = {
        {"dim", m.width},       {"hidden_dim", m.hidden},   {"n_layers", m.layers},
        {"n_heads", m.heads},   {"n_kv_heads", m.kv_heads}, {"vocab_size", m.vocabulary},
        {"seq_len", m.sequence}};
    for (const auto& [name, size] : sizes) {
        if (size < 1 || size > largest_size) {
            return fmt::format("{} is {}; is this a llama2.c model?", name, size);
        }
    }
    if (m.width % m.heads != 0) {
        return fmt::format("dim {} is no multiple of n_heads {}", m.width, m.heads);
    }
    if (m.width / m.heads % 2 != 0) {
        return fmt::format("the head size {} is odd, RoPE turns pairs", m.width / m.heads);
    }
    if (m.heads % m.kv_heads != 0) {
        return fmt::format("n_heads {} is no multiple of n_kv_heads {}", m.heads, m.kv_heads);
    }
    return {};
}

/// Length of the file in bytes. Sizes up to 2^24 make products of three up to 2^72, beyond
/// integers; in doubles every length that a file can have is exact and no other length is mistaken
/// for it.
double file_length(const Llama2cModel& m, int version) {
    double floats = 0.0;
    for (const Part& part : parts_in_order(m, version)) {
        double count = part.per_layer ? static_cast<double>(m.layers) : 1.0;
        for (const std::int64_t size : part.shape) {
            count *= static_cast<double>(size);
        }
        floats += count;
    }
    if (version == 0) {
        floats += static_cast<double>(m.sequence) * static_cast<double>(m.width / m.heads);
    }
    if (!m.tied_head) {
        floats += static_cast<double>(m.vocabulary) * static_cast<double>(m.width);
    }
    return static_cast<double>(version == 0 ? header_v0 : header_v1) + 4.0 * floats;
}

/// Everything but the tensors; `version` becomes the file's.
Llama2cModel read_header(const ByteReader& in, int& version) {
    Llama2cModel m;
    std::uint64_t at = 0;
    version = 0;
    if (in.u32(0) == magic) {
        version = in.i32(4);
        if (version == 2) {
            fail(Code::unsupported, here,
                 "{}: version 2 (int8) is not read; export version 0 or 1 from the same checkpoint",
                 in.source());
        }
        if (version != 1) {
            in.fail_at(4, "version {} is unknown; 0 and 1 are read", version);
        }
        at = 8;
        if (in.u8(36) > 1) {
            in.fail_at(36, "shared_classifier is {}, neither 0 nor 1", in.u8(36));
        }
        m.tied_head = in.u8(36) == 1;
    }
    m.width = in.i32(at);
    m.hidden = in.i32(at + 4);
    m.layers = in.i32(at + 8);
    m.heads = in.i32(at + 12);
    m.kv_heads = in.i32(at + 16);
    m.vocabulary = in.i32(at + 20);
    m.sequence = in.i32(at + 24);
    if (version == 0 && m.vocabulary < 0) {  // the sign says that the classifier stands apart
        m.tied_head = false;
        m.vocabulary = -m.vocabulary;
    }
    if (const auto fault = fault_of_sizes(m)) {
        in.fail_at(at, "{}", *fault);
    }
    return m;
}

void check_tensor(const std::filesystem::path& path, const Llama2cModel& m, const std::string& name,
                  const Shape& shape) {
    const auto found = m.tensors.find(name);
    if (found == m.tensors.end() || found->second.shape != shape) {
        fail(Code::invalid_argument, here, "{}: tensor '{}' must be {}, it is {}", path.string(),
             name, shape.text(), found == m.tensors.end() ? "missing" : found->second.shape.text());
    }
    const auto& values = found->second.values;
    if (values.size() != static_cast<std::uint64_t>(shape.elements())) {
        fail(Code::invalid_argument, here, "{}: tensor '{}' is {}, but has {} values",
             path.string(), name, shape.text(), values.size());
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!std::isfinite(values[i])) {
            fail(Code::invalid_argument, here, "{}: {}[{}] is {}: weights must be finite",
                 path.string(), name, i, values[i]);
        }
    }
}

/// Before the first byte is written: a model that this version cannot hold leaves no file.
void check_model(const std::filesystem::path& path, const Llama2cModel& m) {
    if (const auto fault = fault_of_sizes(m)) {
        fail(Code::invalid_argument, here, "{}: {}", path.string(), *fault);
    }
    NamedTensors::size_type placed = 0;
    const auto check = [&](const std::string& name, const Shape& shape) {
        check_tensor(path, m, name, shape);
        ++placed;
    };
    for_each_tensor(m, 0, check);
    if (!m.tied_head) {
        check("head.weight", {m.vocabulary, m.width});
    }
    if (placed != m.tensors.size()) {
        fail(
            Code::invalid_argument, here,
            "{}: {} tensors given, the format has a place for {}; it holds plain Llama models only",
            path.string(), m.tensors.size(), placed);
    }
}

/// cos, then sin, of position * 10000^(-i / half): each [sequence, half].
std::vector<float> rope_tables(const Llama2cModel& m) {
    const std::int64_t half = m.width / m.heads / 2;
    std::vector<float> tables(static_cast<std::size_t>(2 * m.sequence * half));
    for (std::int64_t p = 0; p < m.sequence; ++p) {
        for (std::int64_t i = 0; i < half; ++i) {
            const double exponent = -static_cast<double>(i) / static_cast<double>(half);
            const double angle = static_cast<double>(p) * std::pow(10000.0, exponent);
            tables[static_cast<std::size_t>(p * half + i)] = static_cast<float>(std::cos(angle));
            tables[static_cast<std::size_t>((m.sequence + p) * half + i)] =
                static_cast<float>(std::sin(angle));
        }
    }
    return tables;
}

}  // namespace

Llama2cModel parse_llama2c(std::span<const std::byte> bytes, std::string_view source) {
    const ByteReader in(bytes, here, source);
    int version = 0;
    Llama2cModel m = read_header(in, version);
    const double wanted = file_length(m, version);
    if (wanted != static_cast<double>(in.size())) {
        in.fail_at(
            0, "{} bytes, a model of these sizes has {:.0f}; truncated, or not a llama2.c model",
            in.size(), wanted);
    }
    std::uint64_t at = version == 0 ? header_v0 : header_v1;
    for_each_tensor(m, version, [&](const std::string& name, const Shape& shape) {
        m.tensors[name] = take_tensor(in, at, name, shape);
    });
    if (version == 0) {  // RoPE tables
        at += 4 * static_cast<std::uint64_t>(m.sequence * (m.width / m.heads));
    }
    if (!m.tied_head) {
        m.tensors["head.weight"] = take_tensor(in, at, "head.weight", {m.vocabulary, m.width});
    }
    return m;
}

Llama2cModel read_llama2c(const std::filesystem::path& path) {
    const MappedFile file(path);
    return parse_llama2c(file.bytes(), path.string());
}

void write_llama2c(const std::filesystem::path& path, const Llama2cModel& m) {
    check_model(path, m);
    ByteWriter header;
    for (const std::int64_t value : {m.width, m.hidden, m.layers, m.heads, m.kv_heads,
                                     m.tied_head ? m.vocabulary : -m.vocabulary, m.sequence}) {
        header.put(static_cast<std::int32_t>(value));
    }
    AtomicFile file(path);
    file.write(header.bytes());
    const auto put = [&](const std::string& name, const Shape&) {
        file.write(std::as_bytes(std::span(m.tensors.find(name)->second.values)));
    };
    for_each_tensor(m, 0, put);
    const std::vector<float> tables = rope_tables(m);
    file.write(std::as_bytes(std::span(tables)));
    if (!m.tied_head) {
        put("head.weight", {});
    }
    file.commit();
}

}  // namespace pome::formats
