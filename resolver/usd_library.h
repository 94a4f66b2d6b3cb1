// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace bifrost {

// The path of the shared library from which this process's OpenUSD answers the plugin.
std::string usdLibraryPath();

}  // namespace bifrost
