#include "train/bpe_trainer.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/error.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.bpe";

using Pair = std::pair<std::int32_t, std::int32_t>;

struct Word {
    std::vector<std::int32_t> ids;
    std::int64_t count = 0;
};

/// Words with the space before them; a text begins as if a space stood before it, as the encoder
/// has it.
std::map<std::string, std::int64_t> count_words(std::span<const std::string> texts) {
    std::map<std::string, std::int64_t> counts;
    for (const std::string& text : texts) {
        std::string word = " ";
        for (const char c : text) {
            const bool is_space = c == ' ' || c == '\n';
            if (is_space && !word.empty()) {
                ++counts[word];
                word.clear();
            }
            word += c;
        }
        if (!word.empty()) {
            ++counts[word];
        }
    }
    return counts;
}

std::size_t character_length(std::string_view text, std::size_t at) {
    const auto first = static_cast<unsigned char>(text[at]);
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    return std::min(length, text.size() - at);
}

class Trainer {
  public:
    Trainer(const std::map<std::string, std::int64_t>& counts, std::int64_t vocabulary)
        : vocabulary_(vocabulary) {
        pieces_ = {{"<unk>", 0.0F}, {"\n<s>\n", 0.0F}, {"\n</s>\n", 0.0F}};
        for (int byte = 0; byte < 256; ++byte) {
            pieces_.push_back({fmt::format("<0x{:02X}>", byte), 0.0F});
        }
        std::map<std::string, std::int32_t> characters;
        for (const auto& [text, count] : counts) {
            for (std::size_t at = 0; at < text.size(); at += character_length(text, at)) {
                characters.emplace(text.substr(at, character_length(text, at)), 0);
            }
        }
        if (static_cast<std::int64_t>(pieces_.size() + characters.size()) > vocabulary) {
            fail(Code::invalid_argument, here,
                 "a vocabulary of {} is too small: 259 special tokens and {} characters occur",
                 vocabulary, characters.size());
        }
        for (auto& [text, id] : characters) {
            id = static_cast<std::int32_t>(pieces_.size());
            pieces_.push_back({text, -1e9F});  // a character is never the result of a merge
        }
        for (const auto& [text, count] : counts) {
            Word word{{}, count};
            for (std::size_t at = 0; at < text.size(); at += character_length(text, at)) {
                word.ids.push_back(characters.at(text.substr(at, character_length(text, at))));
            }
            words_.push_back(std::move(word));
        }
        for (std::size_t i = 0; i < words_.size(); ++i) {
            add_pairs(i, 1);
        }
    }

    formats::Tokenizer run() {
        float score = 0.0F;
        while (static_cast<std::int64_t>(pieces_.size()) < vocabulary_) {
            const auto best =
                std::max_element(pairs_.begin(), pairs_.end(), [](const auto& a, const auto& b) {
                    return a.second.count != b.second.count ? a.second.count < b.second.count
                                                            : a.first > b.first;
                });
            if (best == pairs_.end() || best->second.count < 1) {
                fail(Code::invalid_argument, here,
                     "the text yields {} pieces, {} are wanted; give more text or a smaller "
                     "vocabulary",
                     pieces_.size(), vocabulary_);
            }
            const auto joined = static_cast<std::int32_t>(pieces_.size());
            const Pair pair = best->first;
            pieces_.push_back({pieces_[static_cast<std::size_t>(pair.first)].text +
                                   pieces_[static_cast<std::size_t>(pair.second)].text,
                               score});
            score -= 1.0F;
            const auto places = best->second.words;
            for (const std::size_t word : places) {
                merge(word, pair, joined);
            }
            pairs_.erase(pair);
        }
        return formats::Tokenizer(std::move(pieces_));
    }

  private:
    struct Occurrences {
        std::int64_t count = 0;
        std::vector<std::size_t> words;  // that held the pair at some time
    };

    void add_pairs(std::size_t index, std::int64_t sign) {
        const Word& word = words_[index];
        for (std::size_t i = 0; i + 1 < word.ids.size(); ++i) {
            auto& entry = pairs_[{word.ids[i], word.ids[i + 1]}];
            entry.count += sign * word.count;
            if (sign > 0 && (entry.words.empty() || entry.words.back() != index)) {
                entry.words.push_back(index);
            }
        }
    }

    void merge(std::size_t index, Pair pair, std::int32_t joined) {
        Word& word = words_[index];
        std::vector<std::int32_t> merged;
        for (std::size_t i = 0; i < word.ids.size(); ++i) {
            if (i + 1 < word.ids.size() && word.ids[i] == pair.first &&
                word.ids[i + 1] == pair.second) {
                merged.push_back(joined);
                ++i;
            } else {
                merged.push_back(word.ids[i]);
            }
        }
        if (merged.size() == word.ids.size()) {
            return;
        }
        add_pairs(index, -1);
        word.ids = std::move(merged);
        add_pairs(index, 1);
    }

    std::int64_t vocabulary_;
    std::vector<formats::Tokenizer::Piece> pieces_;
    std::vector<Word> words_;
    std::map<Pair, Occurrences> pairs_;
};

}  // namespace

formats::Tokenizer train_bpe(std::span<const std::string> texts, std::int64_t vocabulary) {
    const auto counts = count_words(texts);
    if (counts.empty()) {
        fail(Code::invalid_argument, here, "there is no text to learn from");
    }
    return Trainer(counts, vocabulary).run();
}

}  // namespace pome::train
