#include "device/probe/identify.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace pome::device::probe {
namespace {

bool agree(std::string_view key, const std::string& found, const std::string& expected) {
    return found == expected ||
           (key.starts_with("failures.") && found == "zeros" && expected == "ignored");
}

/// Keeps those of `matches` that differ least.
void keep_nearest(std::vector<Match>& matches) {
    std::size_t least = matches.empty() ? 0 : matches.front().differences.size();
    for (const Match& match : matches) {
        least = std::min(least, match.differences.size());
    }
    std::erase_if(matches, [&](const Match& match) { return match.differences.size() > least; });
}

/// The profile with the alternative that leaves the fewest differences, as long as one helps.
Match with_alternatives(Match match, const Report& report) {
    for (bool helped = true; helped && !match.differences.empty();) {
        helped = false;
        Match best = match;
        for (const auto& alternative : known_alternatives()) {
            std::string name = match.profile + "+" + alternative;
            auto left = differences(report, find_profile(name));
            if (left.size() < best.differences.size()) {
                best = {std::move(name), std::move(left)};
                helped = true;
            }
        }
        match = std::move(best);
    }
    return match;
}

/// "a", "a or b", "a, b or c"
std::string any_of(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        text += i == 0 ? "" : i + 1 == names.size() ? " or " : ", ";
        text += names[i];
    }
    return text;
}

}  // namespace

std::vector<Difference> differences(const Report& report, const Profile& profile) {
    std::vector<Difference> all;
    for (const Setting& setting : report.settings) {
        const auto fact =
            std::find_if(profile.facts.begin(), profile.facts.end(),
                         [&](const Fact& candidate) { return candidate.key == setting.key; });
        const std::string expected = fact == profile.facts.end() ? "" : fact->value;
        std::string found = text_of(setting.value);
        if (!agree(setting.key, found, expected)) {
            all.push_back({setting.key, std::move(found), expected});
        }
    }
    return all;
}

Identity identify(const Report& report) {
    Identity identity;
    for (const auto& chip : known_chips()) {
        for (const auto& route : known_routes()) {
            const std::string name = chip + "/" + route;
            identity.matches.push_back({name, differences(report, find_profile(name))});
        }
    }
    keep_nearest(identity.matches);
    for (Match& match : identity.matches) {
        match = with_alternatives(std::move(match), report);
    }
    keep_nearest(identity.matches);
    return identity;
}

std::vector<std::string> Identity::families() const {
    std::set<std::string> families;
    for (const Match& match : matches) {
        families.insert(find_profile(match.profile).family);
    }
    return {families.begin(), families.end()};
}

std::string Identity::text() const {
    // Grouped by what follows the chip: route and alternatives.
    std::vector<std::pair<std::string, std::vector<std::string>>> groups;
    for (const Match& match : matches) {
        const auto slash = match.profile.find('/');
        const std::string chip = match.profile.substr(0, slash),
                          rest = match.profile.substr(slash + 1);
        auto group = std::find_if(groups.begin(), groups.end(),
                                  [&](const auto& one) { return one.first == rest; });
        if (group == groups.end()) {
            group = groups.insert(groups.end(), {rest, {}});
        }
        group->second.push_back(chip);
    }
    // Groups of the same chips are one: "by client or in-memory".
    std::vector<std::string> parts;
    std::set<std::vector<std::string>> said;
    for (const auto& [rest, chips] : groups) {
        if (!said.insert(chips).second) {
            continue;
        }
        std::vector<std::string> ways;
        for (const auto& other : groups) {
            if (other.second == chips) {
                ways.push_back(other.first);
            }
        }
        parts.push_back(fmt::format("{} by {}", any_of(chips), any_of(ways)));
    }
    return fmt::format("{} ({})", fmt::join(parts, ", or "), fmt::join(families(), ", "));
}

}  // namespace pome::device::probe
