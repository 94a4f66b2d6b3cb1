// SPDX-License-Identifier: Apache-2.0
//
// A process without Python: the functions come from the library that BIFROST_LIBPYTHON names, or
// there are none. Prints the version of the Python found, or "none".
#include <cstdio>

#include "python_api.h"

int main() {
  const bool hadPython = bifrost::PythonApi::inProcess() != nullptr;
  const bifrost::PythonApi* api = bifrost::PythonApi::get();
  std::printf("%s\n", api != nullptr ? api->GetVersion() : "none");
  return hadPython ? 1 : 0;
}
