// SPDX-License-Identifier: Apache-2.0
//
// Which entities does a layer file name? Answered from the file's bytes, without Sdf: so it may be
// asked inside a resolve, on any thread, without the GIL, and a plain stage pays next to nothing.
#pragma once

#include <string>
#include <vector>

namespace bifrost {

// What a root layer file says that matters before it is composed.
struct RootScan {
  std::vector<std::string> references;  // as of `referencesInAll`
  bool hasSettings = false;             // its customLayerData may hold a dictionary named `bifrost`
};

// The references `<scheme>:...`, for one of *schemes*, that the layer at *path* holds, each once,
// without file format arguments and package parts. Text is searched for asset paths (`@...@`), of a
// crate file the token section, where it keeps every string.
//
// A guess to ask ahead by, no truth: it may hold what only a comment says. A file that can't be
// read or understood holds nothing; what it does need is asked for when composition gets there.
std::vector<std::string> referencesInAll(const std::vector<std::string>& paths,
                                         const std::vector<std::string>& schemes);

// Those of the layer file at *path*, and whether it has settings. A guess, too: whoever reads the
// settings finds out.
RootScan scanRoot(const std::string& path, const std::vector<std::string>& schemes);

// Whether *path* has the extension of a layer that `referencesInAll` understands.
bool isReadableLayer(const std::string& path);

}  // namespace bifrost
