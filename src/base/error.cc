#include "base/error.h"

namespace pome {

Error::Error(Code error_code, std::string_view where, std::string message)
    : code_(error_code),
      where_(where),
      message_(std::move(message)),
      text_(fmt::format("[{}] {}", where_, message_)) {}

}  // namespace pome
