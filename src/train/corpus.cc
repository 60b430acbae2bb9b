#include "train/corpus.h"

#include <array>
#include <span>
#include <string_view>

#include "base/random.h"

namespace pome::train {
namespace {

struct Hero {
    std::string_view name, kind, he, his, him;
};

constexpr std::array<Hero, 16> heroes{{{"Tom", "boy", "he", "his", "him"},
                                       {"Anna", "girl", "she", "her", "her"},
                                       {"Ben", "boy", "he", "his", "him"},
                                       {"Lily", "girl", "she", "her", "her"},
                                       {"Max", "dog", "he", "his", "him"},
                                       {"Rosie", "cat", "she", "her", "her"},
                                       {"Pip", "mouse", "he", "his", "him"},
                                       {"Nora", "girl", "she", "her", "her"},
                                       {"Otto", "bear", "he", "his", "him"},
                                       {"Ella", "duck", "she", "her", "her"},
                                       {"Sam", "boy", "he", "his", "him"},
                                       {"Mia", "rabbit", "she", "her", "her"},
                                       {"Leo", "fox", "he", "his", "him"},
                                       {"Ruby", "bird", "she", "her", "her"},
                                       {"Finn", "frog", "he", "his", "him"},
                                       {"Grace", "girl", "she", "her", "her"}}};

constexpr std::array<std::string_view, 12> moods{"little",  "kind",   "brave", "happy",
                                                 "shy",     "clever", "quiet", "gentle",
                                                 "curious", "sleepy", "funny", "young"};
constexpr std::array<std::string_view, 14> places{
    "garden", "forest", "park",   "village", "kitchen", "meadow",    "barn",
    "river",  "hill",   "school", "market",  "beach",   "old house", "farm"};
constexpr std::array<std::string_view, 18> things{
    "red ball",   "blue kite",  "shiny stone",  "small boat",   "warm hat",   "yellow flower",
    "wooden box", "golden key", "soft blanket", "big apple",    "paper star", "green umbrella",
    "tiny bell",  "sweet cake", "silver spoon", "round basket", "long rope",  "picture book"};
constexpr std::array<std::string_view, 10> weathers{"sunny",  "rainy", "windy",  "cold",  "warm",
                                                    "cloudy", "snowy", "bright", "foggy", "quiet"};
constexpr std::array<std::string_view, 8> times{
    "One day",     "One morning", "One evening",   "One afternoon", "Early in the morning",
    "After lunch", "On Sunday",   "One winter day"};
constexpr std::array<std::string_view, 10> feelings{"happy",   "sad",       "proud",   "tired",
                                                    "excited", "surprised", "worried", "glad",
                                                    "calm",    "thankful"};
constexpr std::array<std::string_view, 8> hiding{
    "under the big tree", "behind the door",   "near the water",    "on the roof",
    "inside a hole",      "between two rocks", "next to the fence", "below the bridge"};

/// Fills a story from a seeded stream of choices.
class Story {
  public:
    explicit Story(Random& random) : random_(random), hero_(pick(heroes)), friend_(pick(heroes)) {
        while (friend_.name == hero_.name) {
            friend_ = pick(heroes);
        }
        thing_ = pick(things);
        place_ = pick(places);
    }

    std::string tell() {
        opening();
        switch (random_.below(4)) {
            case 0:
                lost();
                break;
            case 1:
                shared();
                break;
            case 2:
                helped();
                break;
            default:
                made();
                break;
        }
        ending();
        return std::move(text_);
    }

  private:
    template <typename T, std::size_t n>
    const T& pick(const std::array<T, n>& from) {
        return from[random_.below(n)];
    }

    bool chance() { return random_.below(2) == 0; }

    /// Adds a sentence; capital letters and full stops are the caller's.
    void say(std::initializer_list<std::string_view> parts) {
        if (!text_.empty()) {
            text_ += ' ';
        }
        for (const auto part : parts) {
            text_ += part;
        }
    }

    std::string capital(std::string_view word) const {
        std::string result(word);
        result[0] = static_cast<char>(result[0] - 'a' + 'A');
        return result;
    }

    void opening() {
        say({"Once upon a time there was a ", pick(moods), " ", hero_.kind, " named ", hero_.name,
             "."});
        if (chance()) {
            say({capital(hero_.he), " lived near the ", place_,
                 " and liked to play there every day."});
        }
        say({pick(times), " it was ", pick(weathers), " and ", hero_.name, " went to the ", place_,
             "."});
    }

    void lost() {
        say({hero_.name, " had a ", thing_, " and ", hero_.he, " loved it very much."});
        say({"But when ", hero_.he, " looked for the ", thing_, ", it was not there."});
        say({hero_.name, " was ", chance() ? "sad" : "worried", " and began to look for it."});
        meet();
        say({"\"I lost my ", thing_, ",\" said ", hero_.name, ". \"Can you help me?\""});
        say({"\"Yes, I can,\" said ", friend_.name, "."});
        const auto spot = pick(hiding);
        say({"They looked and looked, and at last ", friend_.name, " found the ", thing_, " ", spot,
             "."});
        say({hero_.name, " gave ", friend_.name, " a big hug and said, \"Thank you!\""});
    }

    void shared() {
        say({"There ", hero_.he, " found a ", thing_, " ", pick(hiding), "."});
        meet();
        say({friend_.name, " saw the ", thing_, " and wanted to play with it too."});
        if (chance()) {
            say({"At first ", hero_.name, " did not want to share, and ", friend_.name,
                 " was sad."});
            say({"Then ", hero_.name, " thought about it and said, \"We can play together.\""});
        } else {
            say({"\"Do you want to play with my ", thing_, "?\" asked ", hero_.name, "."});
            say({"\"Oh yes!\" said ", friend_.name, " with a smile."});
        }
        say({"They played with the ", thing_, " until the sun went down."});
    }

    void helped() {
        meet();
        say({friend_.name, " was ", chance() ? "tired" : "sad", " because ", friend_.he,
             " could not carry ", friend_.his, " ", thing_, "."});
        say({"\"It is too heavy for me,\" said ", friend_.name, "."});
        say({hero_.name, " was ", pick(moods), " and wanted to help ", friend_.him, "."});
        say({"They carried the ", thing_, " home together, and it was not heavy at all."});
        if (chance()) {
            say({friend_.name, "'s mother gave them both some warm milk and bread."});
        }
    }

    void made() {
        say({capital(hero_.he), " wanted to make a ", thing_, " for ", hero_.his, " friend ",
             friend_.name, "."});
        say({hero_.name, " worked all day, but the ", thing_, " broke in two."});
        say({"\"I will try again,\" said ", hero_.name, ", and ", hero_.he, " did."});
        say({"This time the ", thing_, " was ", chance() ? "perfect" : "very pretty", "."});
        say({hero_.name, " took it to ", friend_.name, ", who was so ", pick(feelings), " that ",
             friend_.he, " danced."});
    }

    void meet() {
        say({"Near the ", chance() ? place_ : pick(places), " ", hero_.he, " met a ", friend_.kind,
             " named ", friend_.name, "."});
    }

    void ending() {
        say({hero_.name, " felt ", pick(feelings), "."});
        switch (random_.below(4)) {
            case 0:
                say({"From that day on, ", hero_.name, " and ", friend_.name,
                     " were best friends."});
                break;
            case 1:
                say({"That night ", hero_.name, " went to bed with a smile."});
                break;
            case 2:
                say({hero_.name, " and ", friend_.name, " walked home together, and they were ",
                     pick(feelings), "."});
                break;
            default:
                say({hero_.name, " learned that it is good to help a friend."});
                break;
        }
    }

    Random& random_;
    Hero hero_, friend_;
    std::string_view thing_, place_;
    std::string text_;
};

}  // namespace

std::string generate_stories(std::uint64_t seed, std::size_t bytes) {
    Random random(seed);
    std::string text;
    while (text.size() < bytes) {
        text += Story(random).tell() + "\n<|endoftext|>\n";
    }
    return text;
}

}  // namespace pome::train
