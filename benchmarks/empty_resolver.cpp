// SPDX-License-Identifier: Apache-2.0
//
// A URI resolver that does nothing: what loading any plugin costs, to take from what ours costs.
#include "usd.h"

BIFROST_USD_NAMESPACE_OPEN

class BifrostBenchEmptyResolver final : public ArResolver {
 protected:
  std::string _CreateIdentifier(const std::string& assetPath,
                                const ArResolvedPath& /*anchorAssetPath*/) const override {
    return assetPath;
  }
  std::string _CreateIdentifierForNewAsset(
      const std::string& assetPath, const ArResolvedPath& /*anchorAssetPath*/) const override {
    return assetPath;
  }
  ArResolvedPath _Resolve(const std::string& /*assetPath*/) const override { return {}; }
  ArResolvedPath _ResolveForNewAsset(const std::string& /*assetPath*/) const override { return {}; }
  std::shared_ptr<ArAsset> _OpenAsset(const ArResolvedPath& /*resolvedPath*/) const override {
    return nullptr;
  }
  std::shared_ptr<ArWritableAsset> _OpenAssetForWrite(const ArResolvedPath& /*resolvedPath*/,
                                                      WriteMode /*writeMode*/) const override {
    return nullptr;
  }
};

AR_DEFINE_RESOLVER(BifrostBenchEmptyResolver, ArResolver);

BIFROST_USD_NAMESPACE_CLOSE
