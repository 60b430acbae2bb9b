#include "formats/llama2c_model.h"

#include <cmath>
#include <cstring>

#include "base/bytes.h"
#include "base/file.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.llama2c";
constexpr std::uint32_t magic = 0x616B3432;  // "ak42"

/// One array of the file: a tensor, or one for each layer.
struct Part {
    std::string name;  // "%" stands for the layer
    Shape shape;       // of one layer
    bool per_layer = false;
};

std::vector<Part> parts_in_order(const Llama2cModel& m, int version) {
    const std::int64_t kv = m.width / m.heads * m.kv_heads;
    const Part embedding{"embedding.weight", {m.vocabulary, m.width}},
        norm{"norm.weight", {m.width}};
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

std::string layer_name(const std::string& name, std::int64_t layer) {
    std::string result = name;
    return result.replace(result.find('%'), 1, std::to_string(layer));
}

void check_sizes(const ByteReader& in, const Llama2cModel& m) {
    const auto positive = [&](std::string_view name, std::int64_t value) {
        if (value < 1 || value > (1 << 24)) {
            in.fail_at(0, "{} is {}; is this a llama2.c model?", name, value);
        }
    };
    positive("dim", m.width);
    positive("hidden_dim", m.hidden);
    positive("n_layers", m.layers);
    positive("n_heads", m.heads);
    positive("n_kv_heads", m.kv_heads);
    positive("vocab_size", m.vocabulary);
    positive("seq_len", m.sequence);
    if (m.width % m.heads != 0) {
        in.fail_at(0, "dim {} is no multiple of n_heads {}", m.width, m.heads);
    }
    if (m.heads % m.kv_heads != 0) {
        in.fail_at(0, "n_heads {} is no multiple of n_kv_heads {}", m.heads, m.kv_heads);
    }
}

/// Sizes up to 2^24 make products of three up to 2^72: doubles tell whether they fit the file
/// before integers are used.
double float_count(const Llama2cModel& m, int version) {
    double total = 0.0;
    const auto product = [](const Shape& shape) {
        double count = 1.0;
        for (const std::int64_t size : shape) {
            count *= static_cast<double>(size);
        }
        return count;
    };
    for (const Part& part : parts_in_order(m, version)) {
        total += product(part.shape) * (part.per_layer ? static_cast<double>(m.layers) : 1.0);
    }
    if (version == 0) {
        total += static_cast<double>(m.sequence) * static_cast<double>(m.width / m.heads / 2 * 2);
    }
    if (!m.tied_head) {
        total += product({m.vocabulary, m.width});
    }
    return total;
}

NamedTensor take(const ByteReader& in, std::uint64_t& at, const std::string& name,
                 const Shape& shape) {
    NamedTensor tensor{shape, std::vector<float>(static_cast<std::size_t>(shape.elements()))};
    const auto bytes = in.bytes(at, tensor.values.size() * sizeof(float));
    std::memcpy(tensor.values.data(), bytes.data(), bytes.size());
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
        if (!std::isfinite(tensor.values[i])) {
            in.fail_at(at + i * sizeof(float), "{}[{}] is {}: weights must be finite", name, i,
                       tensor.values[i]);
        }
    }
    at += bytes.size();
    return tensor;
}

}  // namespace

Llama2cModel parse_llama2c(std::span<const std::byte> bytes, std::string_view source) {
    const ByteReader in(bytes, here, source);
    Llama2cModel m;
    int version = 0;
    std::uint64_t at = 0, body = 28;
    if (in.u32(0) == magic) {
        version = in.i32(4);
        if (version == 2) {
            fail(Code::unsupported, here, "{}: version 2 (int8) is not read; export version 0 or 1",
                 source);
        }
        if (version != 1) {
            in.fail_at(4, "version {} is unknown; 0 and 1 are read", version);
        }
        at = 8;
        body = 256;
        m.tied_head = in.u8(36) != 0;
    }
    m.width = in.i32(at), m.hidden = in.i32(at + 4), m.layers = in.i32(at + 8),
    m.heads = in.i32(at + 12);
    m.kv_heads = in.i32(at + 16), m.vocabulary = in.i32(at + 20), m.sequence = in.i32(at + 24);
    if (version == 0 && m.vocabulary < 0) {  // the sign says that the classifier stands apart
        m.tied_head = false;
        m.vocabulary = -m.vocabulary;
    }
    check_sizes(in, m);
    const double wanted = static_cast<double>(body) + 4.0 * float_count(m, version);
    if (wanted != static_cast<double>(in.size())) {
        in.fail_at(
            0, "{} bytes, a model of these sizes has {:.0f}; truncated, or not a llama2.c model",
            in.size(), wanted);
    }
    at = body;
    for (const Part& part : parts_in_order(m, version)) {
        for (std::int64_t layer = 0; layer < (part.per_layer ? m.layers : 1); ++layer) {
            const std::string name = part.per_layer ? layer_name(part.name, layer) : part.name;
            m.tensors[name] = take(in, at, name, part.shape);
        }
    }
    if (version == 0) {
        at += 4 * static_cast<std::uint64_t>(m.sequence * (m.width / m.heads / 2 * 2));
    }  // RoPE tables
    if (!m.tied_head) {
        m.tensors["head.weight"] = take(in, at, "head.weight", {m.vocabulary, m.width});
    }
    return m;
}

Llama2cModel read_llama2c(const std::filesystem::path& path) {
    const MappedFile file(path);
    return parse_llama2c(file.bytes(), path.string());
}

void write_llama2c(const std::filesystem::path& path, const Llama2cModel& m) {
    ByteWriter header;
    for (const std::int64_t value : {m.width, m.hidden, m.layers, m.heads, m.kv_heads,
                                     m.tied_head ? m.vocabulary : -m.vocabulary, m.sequence}) {
        header.put(static_cast<std::int32_t>(value));
    }
    AtomicFile file(path);
    file.write(header.bytes());
    const auto put = [&](const std::string& name, const Shape& shape) {
        const auto found = m.tensors.find(name);
        if (found == m.tensors.end() || found->second.shape != shape) {
            fail(Code::invalid_argument, here, "{}: tensor '{}' must be {}, it is {}",
                 path.string(), name, shape.text(),
                 found == m.tensors.end() ? "missing" : found->second.shape.text());
        }
        file.write(std::as_bytes(std::span(found->second.values)));
    };
    for (const Part& part : parts_in_order(m, 0)) {
        for (std::int64_t layer = 0; layer < (part.per_layer ? m.layers : 1); ++layer) {
            put(part.per_layer ? layer_name(part.name, layer) : part.name, part.shape);
        }
    }
    const std::int64_t half = m.width / m.heads / 2;
    std::vector<float> tables(static_cast<std::size_t>(2 * m.sequence * half));
    for (std::int64_t p = 0; p < m.sequence; ++p) {
        for (std::int64_t i = 0; i < half; ++i) {
            const double angle =
                static_cast<double>(p) *
                std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
            tables[static_cast<std::size_t>(p * half + i)] = static_cast<float>(std::cos(angle));
            tables[static_cast<std::size_t>((m.sequence + p) * half + i)] =
                static_cast<float>(std::sin(angle));
        }
    }
    file.write(std::as_bytes(std::span(tables)));
    if (!m.tied_head) {
        put("head.weight", {m.vocabulary, m.width});
    }
    file.commit();
}

}  // namespace pome::formats
