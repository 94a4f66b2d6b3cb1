// SPDX-License-Identifier: Apache-2.0
//
// Writing assets through their references: bytes are staged in a private folder, and Close asks the
// bridge, once, to publish them as a version.
//
// OpenUSD (pxr/usd/sdf/layer.cpp) writes in three ways that look the same to OpenAssetForWrite;
// what it asks right before on the same thread tells them apart:
//
//   CreateNew   CreateIdentifierForNewAsset, ResolveForNewAsset, GetExtension, then, with the layer
//               registry locked: IsContextDependentPath, Resolve, GetAssetInfo, CanWriteAssetToPath
//   Save        CanWriteAssetToPath
//   Export      GetExtension
//
// What CreateNew writes is an empty layer, no version: it is kept as the layer's draft. That also
// keeps the bridge, which opens layers when it publishes, from being called under the registry's
// lock. Save and Export hold no lock; they may hold the GIL.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "usd.h"

namespace bifrost {

BIFROST_USD_USING

// For whom an asset is written.
struct WritingFor {
  std::string policy;     // of the context that was bound when the asset was opened
  bool isFrozen = false;  // whether pins are all that may answer there
  // Held from before the bridge is asked until *learn* has returned.
  std::function<std::shared_ptr<void>()> asking;
  // Takes what the bridge answers for the references that mean something else after a publish.
  std::function<void(std::string_view)> learn;
};

// What USD asks on this thread; see above.
void noteIdentifierForNewAsset(const std::string& assetPath);
void noteResolveForNewAsset(const std::string& assetPath);
void noteIsContextDependent(const std::string& assetPath);
void noteAssetInfo(const std::string& assetPath);

// That it asked something else: if CreateNew was about to come, it was not CreateNew.
void noteOther();

// Whether CreateNew asks for the format of a new layer.
bool noteExtension(const std::string& assetPath);

// Whether CreateNew asks whether there is a layer at *assetPath* already. There is, if it was
// written there: what the reference resolves to is another one, and so it must not be answered.
// OpenUSD looks at the place of a new asset where nothing is.
bool noteResolve(const std::string& assetPath);

// Whether a layer can be the version that follows on *current*, the file that *identifier* resolves
// to now: nothing says that this is something else, or the reference says `format=`.
bool canBeWrittenTo(std::string_view identifier, std::string_view current);

// The extension of the file that is written for *identifier*, and so its format: what `format=`
// says, else that of *current*, the file that it resolves to now, else its own, else "usd". Others
// than those three are none of a layer: "hero.v2" is an id with a dot.
std::string extensionToWrite(std::string_view identifier, std::string_view current);

// "usda" of "bifrost:///assets/hero.usda?version=3"; a query or fragment is no extension.
std::string extensionOf(std::string_view identifier);

// Whether a version of the asset at *path* can be made; if not, *whyNot* says why. One crossing,
// none where the reference, pins or *current* rule it out: the file that the reference is known to
// resolve to; empty for none.
bool canWrite(const std::string& path, const WritingFor& who, const std::string& current,
              std::string* whyNot);

// The asset to write to, or null, after an error. No crossing. *current* as above.
std::shared_ptr<ArWritableAsset> openForWrite(const std::string& path, ArResolver::WriteMode mode,
                                              WritingFor who, const std::string& current);

// What this process wrote to *path* and has to read from there: what this thread has just closed,
// once, else a draft. Null where there is nothing.
std::shared_ptr<ArAsset> openWritten(const std::string& path);

// Says that a layer at *path* was read from *file*: a binary one is updated on top of that.
void noteOpened(const std::string& path, const std::string& file);

// When the draft at *path* was written, in seconds since the epoch; nothing where there is none.
std::optional<double> draftWritten(const std::string& path);

}  // namespace bifrost
