#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pome::train {

/// The documents of a text: what stands between "<|endoftext|>" marks, or, for JSON lines
/// (`.jsonl`), the field of each object. CRLF becomes LF; surrounding white space is dropped; empty
/// documents are left out. Throws Error{malformed_file} naming the line of broken JSON,
/// Error{invalid_argument} when nothing is left.
std::vector<std::string> split_documents(std::string_view text, std::string_view source);
std::vector<std::string> split_json_lines(std::string_view text, std::string_view field,
                                          std::string_view source);

struct PrepareOptions {
    std::vector<std::filesystem::path> inputs;  ///< text files or .jsonl
    std::string field = "text";                 ///< of JSON lines
    std::filesystem::path tokenizer;            ///< empty: learn one
    std::int64_t vocabulary = 512;              ///< of a learned tokenizer
    double validation = 0.1;                    ///< share of the documents, the last ones
    std::filesystem::path output;  ///< directory: train.bin, val.bin, tokenizer.bin, dataset.json
};

struct PrepareResult {
    std::int64_t documents = 0, train_tokens = 0, validation_tokens = 0, vocabulary = 0;
};

/// Text to token files. Every document starts with bos.
PrepareResult prepare(const PrepareOptions& options);

}  // namespace pome::train
