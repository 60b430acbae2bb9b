#include "train/prepare.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "formats/token_shard.h"
#include "formats/tokenizer.h"
#include "train/bpe_trainer.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "data.prepare";
constexpr std::string_view mark = "<|endoftext|>";

std::string trimmed(std::string_view text) {
    std::string clean;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (!(text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n')) {
            clean += text[i];
        }
    }
    constexpr const char* white = " \t\r\n";
    const auto first = clean.find_first_not_of(white);
    if (first == std::string::npos) {
        return "";
    }
    return clean.substr(first, clean.find_last_not_of(white) - first + 1);
}

void add(std::vector<std::string>& documents, std::string_view text) {
    std::string document = trimmed(text);
    if (!document.empty()) {
        documents.push_back(std::move(document));
    }
}

std::vector<std::int32_t> encode_all(std::span<const std::string> documents,
                                     const formats::Tokenizer& tokenizer) {
    std::vector<std::int32_t> ids;
    for (const std::string& document : documents) {
        const auto encoded = tokenizer.encode(document, true, false);
        ids.insert(ids.end(), encoded.begin(), encoded.end());
    }
    return ids;
}

}  // namespace

std::vector<std::string> split_documents(std::string_view text, std::string_view source) {
    std::vector<std::string> documents;
    for (std::size_t at = 0; at <= text.size();) {
        const auto end = std::min(text.find(mark, at), text.size());
        add(documents, text.substr(at, end - at));
        at = end + mark.size();
    }
    if (documents.empty()) {
        fail(Code::invalid_argument, here, "{}: there is no text in it", source);
    }
    return documents;
}

std::vector<std::string> split_json_lines(std::string_view text, std::string_view field,
                                          std::string_view source) {
    std::vector<std::string> documents;
    std::istringstream lines{std::string(text)};
    std::int64_t number = 0;
    for (std::string line; std::getline(lines, line);) {
        ++number;
        if (trimmed(line).empty()) {
            continue;
        }
        const auto record = nlohmann::json::parse(line, nullptr, false);
        if (!record.is_object()) {
            fail(Code::malformed_file, here, "{}:{}: no JSON object", source, number);
        }
        const auto found = record.find(std::string(field));
        if (found == record.end() || !found->is_string()) {
            fail(Code::malformed_file, here,
                 "{}:{}: no text in field '{}'; name the field with --field", source, number,
                 field);
        }
        add(documents, found->get<std::string>());
    }
    if (documents.empty()) {
        fail(Code::invalid_argument, here, "{}: there is no text in it", source);
    }
    return documents;
}

PrepareResult prepare(const PrepareOptions& options) {
    if (!(options.validation > 0.0 && options.validation < 1.0)) {
        fail(Code::invalid_argument, here,
             "the validation share is {}, it must lie between 0 and 1", options.validation);
    }
    std::vector<std::string> documents;
    for (const auto& input : options.inputs) {
        const auto text = read_text(input);
        const auto more = input.extension() == ".jsonl"
                              ? split_json_lines(text, options.field, input.string())
                              : split_documents(text, input.string());
        documents.insert(documents.end(), more.begin(), more.end());
    }
    if (documents.size() < 2) {
        fail(Code::invalid_argument, here,
             "{} document in all; at least two are needed, one to validate: separate them with {}",
             documents.size(), mark);
    }
    const auto held_out = std::clamp<std::size_t>(
        static_cast<std::size_t>(options.validation * static_cast<double>(documents.size())), 1,
        documents.size() - 1);
    const std::span<const std::string> training(documents.data(), documents.size() - held_out);
    const std::span<const std::string> validation(documents.data() + training.size(), held_out);
    const formats::Tokenizer tokenizer = options.tokenizer.empty()
                                             ? train_bpe(training, options.vocabulary)
                                             : formats::Tokenizer::read(options.tokenizer);
    std::error_code error;
    std::filesystem::create_directories(options.output, error);
    if (error) {
        fail(Code::io, here, "{}: cannot create: {}", options.output.string(), error.message());
    }
    const auto train_ids = encode_all(training, tokenizer),
               validation_ids = encode_all(validation, tokenizer);
    formats::write_tokens(options.output / "train.bin", train_ids, tokenizer.vocabulary());
    formats::write_tokens(options.output / "val.bin", validation_ids, tokenizer.vocabulary());
    write_file_atomic(options.output / "tokenizer.bin", tokenizer.bytes());
    PrepareResult result;
    result.documents = static_cast<std::int64_t>(documents.size());
    result.train_tokens = static_cast<std::int64_t>(train_ids.size());
    result.validation_tokens = static_cast<std::int64_t>(validation_ids.size());
    result.vocabulary = tokenizer.vocabulary();
    const nlohmann::json record{{"documents", result.documents},
                                {"train_tokens", result.train_tokens},
                                {"validation_tokens", result.validation_tokens},
                                {"vocabulary", result.vocabulary}};
    write_file_atomic(options.output / "dataset.json", record.dump(1) + "\n");
    return result;
}

}  // namespace pome::train
