// SPDX-License-Identifier: Apache-2.0
#include "diagnostics.h"

#include <functional>
#include <unordered_set>

BIFROST_USD_NAMESPACE_OPEN

TF_REGISTRY_FUNCTION(TfDebug) {
  TF_DEBUG_ENVIRONMENT_SYMBOL(BIFROST_RESOLVE, "Each resolve that is not answered by the table");
  TF_DEBUG_ENVIRONMENT_SYMBOL(BIFROST_BRIDGE,
                              "Each call into Python: what was asked, what came back");
  TF_DEBUG_ENVIRONMENT_SYMBOL(BIFROST_CONTEXT, "Contexts made, prepared and refreshed");
}

BIFROST_USD_NAMESPACE_CLOSE

namespace bifrost {

namespace {

// Past this many different warnings the memory starts over, so that a broken shot can't grow it. Of
// each a hash is kept: a subject is whatever a file says, of any length.
constexpr std::size_t kMostRemembered = 100'000;

bool isNews(const std::string& subject, const std::string& code) {
  static auto* seen = new std::unordered_set<std::size_t>;
  const std::lock_guard<std::mutex> lock(warningsMutex());
  if (seen->size() >= kMostRemembered) {
    seen->clear();
  }
  return seen->insert(std::hash<std::string>{}(code + '\0' + subject)).second;
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string shown;
  shown.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // Controls of ASCII, and of Latin-1 as UTF-8 writes them: 0xc2, 0x80 to 0x9f.
    const bool isSecond = i > 0 && text[i - 1] == '\xc2' && byte >= 0x80 && byte < 0xa0;
    if (byte < 0x20 || byte == 0x7f || isSecond) {
      if (isSecond) {
        shown.pop_back();
      }
      shown += "\\x";
      shown += kDigits[byte >> 4U];
      shown += kDigits[byte & 0xfU];
    } else {
      shown += text[i];
    }
  }
  return shown;
}

std::mutex& warningsMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

void warnOnce(const std::string& subject, const std::string& code, const std::string& message) {
  BIFROST_USD_USING
  if (isNews(subject, code)) {
    TF_WARN("bifrost: %s: %s [%s]", printable(subject).c_str(), printable(message).c_str(),
            printable(code).c_str());
  }
}

}  // namespace bifrost
