// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace bifrost {

// *assetPath* without the file format arguments that USD appends: they are the format's business,
// never a manager's.
inline std::string_view withoutFormatArgs(std::string_view assetPath) {
  return assetPath.substr(0, assetPath.find(":SDF_FORMAT_ARGS:"));
}

}  // namespace bifrost
