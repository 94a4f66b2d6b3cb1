// SPDX-License-Identifier: Apache-2.0
//
// Files of pins, and the roots of other sites. What stands before a first line that is "---" is
// BIFROST_PINS_ROOTS.
#include "pins.h"

#include "memory_file.h"
#include "promise.h"

namespace {

using bifrost::NotPinned;
using bifrost::Pins;
using bifrost::promise;

constexpr std::string_view kEndOfRoots = "\n---\n";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto* file = new bifrost::MemoryFile;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = text.find(kEndOfRoots);
  const bool hasRoots = end != std::string_view::npos;
  // A variable of the environment ends at a NUL.
  const std::string roots =
      std::string(hasRoots ? text.substr(0, end) : std::string_view{}).c_str();
  const std::size_t begin = hasRoots ? end + kEndOfRoots.size() : 0;
  file->hold(data + begin, size - begin);

  const auto pins = Pins::at(file->path(), NotPinned::kFail, roots);
  promise(pins->size() == 0 || pins->bytes() > 0, "what is pinned is held");
  for (const char* reference : {"x:a", "bifrost:///assets/hero", ""}) {
    const bifrost::Resolution* pinned = pins->find(reference);
    promise(pinned == nullptr || pinned->path.find('\0') == std::string::npos,
            "a pinned path is one that the system would read whole");
    promise(pins->answer(reference) != nullptr, "nothing else may answer");
  }
  return 0;
}
