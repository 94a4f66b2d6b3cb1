// SPDX-License-Identifier: Apache-2.0
//
// The bytes in which Python answers, and in which closures lie in a cache that others may write to.
#include "wire.h"

#include "promise.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto answers = bifrost::decodeAnswers(bytes);
  if (!answers) {
    return 0;
  }
  std::size_t texts = 0;
  for (const bifrost::Resolution& answer : answers->resolutions) {
    texts += answer.identifier.size() + answer.path.size() + answer.message.size() +
             answer.name.size() + answer.version.size() + answer.manager.size() +
             answer.failureCode.size();
    bifrost::promise(answer.path.empty() || answer.message.empty(), "an answer, or a failure");
  }
  bifrost::promise(texts <= size, "every text is a part of the bytes");
  bifrost::promise(!bifrost::decodeAnswers(bytes.substr(0, size - 1)), "all of it, or nothing");

  bifrost::ResolutionTable table(bifrost::Freshness::kExpires);
  auto again = bifrost::decodeAnswers(bytes);
  table.add(std::move(again->resolutions));
  return 0;
}
