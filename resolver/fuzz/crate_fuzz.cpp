// SPDX-License-Identifier: Apache-2.0
//
// The table of contents of binary layers.
#include "crate.h"

#include "memory_file.h"
#include "promise.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto* memory = new bifrost::MemoryFile;
  memory->hold(data, size);
  const bifrost::File file(memory->path());
  bifrost::promise(file.size() == size, "a file is as long as it is");
  for (const auto& [name, section] : bifrost::crateSections(file)) {
    bifrost::promise(name.size() <= 16 && name.find('\0') == std::string::npos,
                     "a section's name is what stands in its field");
    bifrost::promise(file.read(section.offset, section.size).size() <= size,
                     "what a section claims is read as far as there is anything");
  }
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const std::uint64_t at :
       {std::uint64_t{0}, std::uint64_t{size}, ~std::uint64_t{0}, bifrost::numberAt(bytes, 0)}) {
    bifrost::numberAt(bytes, at);
  }
  return 0;
}
