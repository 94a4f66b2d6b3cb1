// SPDX-License-Identifier: Apache-2.0
//
// Asset paths as USD hands them over: format arguments, the parameters of references.
#include "asset_path.h"
#include "promise.h"

namespace {

using bifrost::promise;

void tryReference(std::string_view identifier) {
  for (const std::string_view key : {"version", "type", "format", ""}) {
    const std::string_view value = bifrost::parameterOf(identifier, key);
    promise(value.empty() || (value.data() >= identifier.data() &&
                              value.data() + value.size() <= identifier.data() + identifier.size()),
            "a parameter's value is a part of its reference");
    promise(value.find('&') == std::string_view::npos, "a value ends before the next parameter");
  }
  const std::string without = bifrost::withoutWritingParameters(identifier);
  if (without.empty()) {
    return;
  }
  promise(without.size() < identifier.size(), "something was left out");
  promise(bifrost::withoutWritingParameters(without).empty(), "all of it at once");
  promise(bifrost::parameterOf(without, "format").empty() &&
              bifrost::parameterOf(without, "type").empty() &&
              bifrost::parameterOf(without, "name").empty(),
          "nothing that is for writing is left");
  promise(bifrost::parameterOf(without, "version") == bifrost::parameterOf(identifier, "version"),
          "what is not for writing stays");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view plain = bifrost::withoutFormatArgs(text);
  promise(text.substr(0, plain.size()) == plain &&
              bifrost::withoutFormatArgs(plain).size() == plain.size(),
          "format arguments are an end, and go at once");
  tryReference(plain);
  tryReference(std::string(bifrost::kOwnPrefix) + std::string(plain));
  return 0;
}
