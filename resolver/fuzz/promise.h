// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>

namespace bifrost {

// Ends the process, as a sanitizer does, where a parser broke its promise.
inline void promise(bool kept, const char* what) {
  if (!kept) {
    std::fprintf(stderr, "FAILED: %s\n", what);
    std::abort();
  }
}

}  // namespace bifrost
