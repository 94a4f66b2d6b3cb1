// SPDX-License-Identifier: Apache-2.0
//
// Layer files, text and binary, as they are looked through before composition reads them.
#include "layer_scan.h"

#include "memory_file.h"
#include "promise.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto* file = new bifrost::MemoryFile;
  static const std::vector<std::string> schemes = {"bifrost", "bal"};
  file->hold(data, size);
  const bifrost::RootScan scan = bifrost::scanRoot(file->path(), schemes);
  for (const std::string& reference : scan.references) {
    bifrost::promise(reference.rfind("bifrost:", 0) == 0 || reference.rfind("bal:", 0) == 0,
                     "a reference has the scheme of a manager");
    bifrost::promise(reference.find(":SDF_FORMAT_ARGS:") == std::string::npos,
                     "and nothing that is USD's business");
  }
  bifrost::promise(bifrost::referencesInAll({file->path()}, schemes) == scan.references,
                   "a root is looked through like any other layer");
  return 0;
}
