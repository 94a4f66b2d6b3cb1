// SPDX-License-Identifier: Apache-2.0
//
// Does a layer file name an entity at all? Answered from the file's bytes, before composition, so that
// a plain stage never starts Python and pays next to nothing.
#pragma once

#include <string>
#include <vector>

namespace bifrost {

// Whether the file at *path* mentions `<scheme>:` for one of *schemes*. Text is searched as it is; of
// a crate file the token section is, where it keeps every string. Files that can't be read or
// understood mention nothing: their references are resolved when composition asks for them.
bool mentionsScheme(const std::string& path, const std::vector<std::string>& schemes);

}  // namespace bifrost
