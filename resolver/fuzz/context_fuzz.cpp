// SPDX-License-Identifier: Apache-2.0
//
// Context strings, as users, Houdini and Katana give them.
#include "promise.h"
#include "resolver_context.h"

BIFROST_USD_USING

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::string complaint;
  const std::string policy = bifrost::canonicalPolicy(text, &complaint);
  std::string none;
  bifrost::promise(bifrost::canonicalPolicy(policy, &none) == policy && none.empty(),
                   "what is canonical stays as it is");
  bifrost::promise(policy.size() <= 3 * size, "and is made of what was given");
  for (const char ch : policy) {
    bifrost::promise(ch > ' ' && ch < 127, "of printable characters");
  }
  if (policy.find("pins=") == std::string::npos) {  // else a file is read, of any name
    const BifrostResolverContext context(policy, text);
    bifrost::promise(context == BifrostResolverContext(policy, text),
                     "equal texts, equal contexts");
  }
  return 0;
}
