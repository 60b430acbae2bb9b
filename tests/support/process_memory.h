#pragma once

#include <fstream>
#include <string>

namespace pome::test {

/// What a file of /proc/self says of memory, in kilobytes; -1 where it does not.
inline long process_kilobytes(const std::string& file, const std::string& field) {
    std::ifstream in("/proc/self/" + file);
    for (std::string word; in >> word;) {
        if (word == field + ":") {
            long value = -1;
            in >> value;
            return value;
        }
    }
    return -1;
}

}  // namespace pome::test
