// SPDX-License-Identifier: Apache-2.0
#include "diagnostics.h"

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

// Past this many different warnings the memory starts over, so that a broken shot can't grow it.
constexpr std::size_t kMostRemembered = 100'000;

bool isNews(const std::string& subject, const std::string& code) {
  static auto* seen = new std::unordered_set<std::string>;
  const std::lock_guard<std::mutex> lock(warningsMutex());
  if (seen->size() >= kMostRemembered) {
    seen->clear();
  }
  return seen->insert(code + '\0' + subject).second;
}

}  // namespace

std::mutex& warningsMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

void warnOnce(const std::string& subject, const std::string& code, const std::string& message) {
  BIFROST_USD_USING
  if (isNews(subject, code)) {
    TF_WARN("bifrost: %s: %s [%s]", subject.c_str(), message.c_str(), code.c_str());
  }
}

}  // namespace bifrost
