// SPDX-License-Identifier: Apache-2.0
#include "usd_library.h"

#include <dlfcn.h>

#include "usd.h"

namespace bifrost {

std::string usdLibraryPath() {
  BIFROST_USD_USING
  Dl_info info{};
  const auto symbol = reinterpret_cast<const void*>(&ArGetResolver);
  return dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

}  // namespace bifrost
