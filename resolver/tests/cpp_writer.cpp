// SPDX-License-Identifier: Apache-2.0
//
// Writes assets as an application in C++ does, without the GIL. As a library it is called from
// Python, through ctypes, with the GIL or without.
//
//   cpp_writer FILE REFERENCE...
//
// writes FILE to each reference, on a thread of its own for each, and prints how many it could.
//
//   cpp_writer --leaving REFERENCE
//
// asks about writing to it, and again in an exit handler, which says "left".
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "../usd.h"

BIFROST_USD_USING

// Whether *bytes* became what *reference* names.
extern "C" __attribute__((visibility("default"))) int writeAsset(const char* reference,
                                                                 const char* bytes,
                                                                 std::size_t size) {
  const auto asset =
      ArGetResolver().OpenAssetForWrite(ArResolvedPath(reference), ArResolver::WriteMode::Replace);
  return asset && asset->Write(bytes, size, 0) == size && asset->Close() ? 1 : 0;
}

namespace {

std::string reference;

void askAboutWriting() {
  const std::string identifier = ArGetResolver().CreateIdentifierForNewAsset(reference);
  const ArResolvedPath path(identifier);
  std::string whyNot;
  ArGetResolver().CanWriteAssetToPath(path, &whyNot);
  ArGetResolver().GetExtension(identifier);
  ArGetResolver().OpenAsset(path);
  ArGetResolver().CreateIdentifierForNewAsset(reference);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    return 2;
  }
  if (std::strcmp(argv[1], "--leaving") == 0) {
    reference = argv[2];
    askAboutWriting();
    std::atexit([] {
      askAboutWriting();
      std::puts("left");
    });
    return 0;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  ArGetResolver().Resolve(".");  // OpenUSD's own first use is no matter for many threads
  std::atomic<int> written{0};
  std::vector<std::thread> threads;
  for (int i = 2; i < argc; ++i) {
    threads.emplace_back([&, i] { written += writeAsset(argv[i], bytes.data(), bytes.size()); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::printf("%d\n", written.load());
  return 0;
}
