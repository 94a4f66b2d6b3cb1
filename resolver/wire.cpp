// SPDX-License-Identifier: Apache-2.0
#include "wire.h"

#include <cmath>
#include <cstring>
#include <ctime>

namespace bifrost {

namespace {

constexpr std::string_view kMagic = "BFW2";
constexpr std::uint8_t kComplete = 1;
constexpr std::uint8_t kImmutable = 1;
constexpr std::uint8_t kTemplated = 2;
constexpr std::uint8_t kFailed = 4;
constexpr std::size_t kLeastEntryBytes = 2 + 8 + 8 + 4 + 5 * 4;

// Reads in bounds or not at all; after the first short read everything reads as empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class Number>
  Number number() {
    Number value{};
    if (take(sizeof value)) {
      std::memcpy(&value, bytes_.data() + at_ - sizeof value, sizeof value);
    }
    return value;
  }

  std::string_view text(std::size_t size) {
    return take(size) ? bytes_.substr(at_ - size, size) : std::string_view{};
  }

  std::string string() { return std::string(text(number<std::uint32_t>())); }

  bool good() const { return good_; }
  std::size_t left() const { return bytes_.size() - at_; }

 private:
  bool take(std::size_t size) {
    good_ = good_ && size <= left();
    if (good_) {
      at_ += size;
    }
    return good_;
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool good_ = true;
};

double epochNow() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Resolution readAnswer(Reader& reader, double epochToMonotonic) {
  Resolution answer;
  answer.tier = static_cast<Tier>(reader.number<std::uint8_t>());
  const auto flags = reader.number<std::uint8_t>();
  const bool isFailed = (flags & kFailed) != 0;
  answer.immutable = !isFailed && (flags & kImmutable) != 0;
  answer.templated = !isFailed && (flags & kTemplated) != 0;
  answer.modified = reader.number<double>();
  answer.freshUntil = reader.number<double>() + epochToMonotonic;
  answer.microseconds = reader.number<float>();
  answer.identifier = reader.string();
  (isFailed ? answer.message : answer.path) = reader.string();
  std::string name = reader.string();
  std::string version = reader.string();
  (isFailed ? answer.failureCode : answer.manager) = reader.string();
  if (!isFailed) {
    answer.name = std::move(name);
    answer.version = std::move(version);
  }
  return answer;
}

}  // namespace

std::optional<Answers> decodeAnswers(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.text(kMagic.size()) != kMagic) {
    return std::nullopt;
  }
  Answers answers;
  const auto servedBy = static_cast<Tier>(reader.number<std::uint8_t>());
  answers.isComplete = (reader.number<std::uint8_t>() & kComplete) != 0;
  const auto microseconds = reader.number<float>();
  const auto count = reader.number<std::uint32_t>();
  if (!reader.good() || count > reader.left() / kLeastEntryBytes) {
    return std::nullopt;
  }
  const double epochToMonotonic = monotonicNow() - epochNow();
  answers.resolutions.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    Resolution& answer = answers.resolutions.emplace_back(readAnswer(reader, epochToMonotonic));
    if (servedBy != Tier::kNone) {
      answer.tier = servedBy;
      answer.microseconds = microseconds;
    }
  }
  if (!reader.good() || reader.left() != 0) {
    return std::nullopt;
  }
  return answers;
}

}  // namespace bifrost
