// SPDX-License-Identifier: Apache-2.0
#include "environment.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <utility>

namespace bifrost {

namespace {

// All that is read once threads may be running; those of the policy first.
constexpr std::array<const char*, 9> kNames = {"BIFROST_CONTEXT",
                                               "BIFROST_PINS",
                                               "BIFROST_PINS_MISSING",
                                               "BIFROST_PINS_ROOTS",
                                               "BIFROST_RESOLVE__ALLOWED_ROOTS",
                                               "BIFROST_HOME",
                                               "HOME",
                                               "TMPDIR",
                                               "XDG_CONFIG_HOME"};
constexpr std::size_t kOfPolicy = 3;

// The last one, and the same for who only compares. Leaked, as everything that threads may touch
// while statics are being destroyed.
std::shared_ptr<const Environment>& lastRead() {
  static auto* last = new std::shared_ptr<const Environment>;
  return *last;
}

std::atomic<const Environment*> lastAddress{nullptr};

}  // namespace

std::mutex& Environment::mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

Environment::Environment() {
  values_.reserve(kNames.size());
  for (const char* name : kNames) {
    const char* text = std::getenv(name);
    values_.push_back(text != nullptr ? std::optional<std::string>(text) : std::nullopt);
  }
}

std::shared_ptr<const Environment> Environment::read() {
  std::shared_ptr<const Environment> now(new Environment);
  std::shared_ptr<const Environment> replaced;  // goes behind the lock
  const std::lock_guard<std::mutex> lock(mutex());
  std::shared_ptr<const Environment>& last = lastRead();
  if (last == nullptr || last->values_ != now->values_) {
    replaced = std::exchange(last, std::move(now));
    lastAddress.store(last.get(), std::memory_order_release);
  }
  return last;
}

std::shared_ptr<const Environment> Environment::last() {
  {
    const std::lock_guard<std::mutex> lock(mutex());
    if (lastRead() != nullptr) {
      return lastRead();
    }
  }
  return read();
}

bool Environment::isLast() const { return lastAddress.load(std::memory_order_acquire) == this; }

std::optional<std::string> Environment::value(std::string_view name) const {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) {
      return values_[i];
    }
  }
  return std::nullopt;
}

bool Environment::policyStands() const {
  for (std::size_t i = 0; i < kOfPolicy; ++i) {
    const char* text = std::getenv(kNames[i]);
    if ((text != nullptr) != values_[i].has_value() || (text != nullptr && *values_[i] != text)) {
      return false;
    }
  }
  return true;
}

}  // namespace bifrost
