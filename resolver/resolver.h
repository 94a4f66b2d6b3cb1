// SPDX-License-Identifier: Apache-2.0
//
// The URI resolver: thin overrides in front of a table. What each is asked for, and when, is told
// in OpenUSD's ar/resolver.h; no exception of ours leaves one.
#pragma once

#include <memory>
#include <string>

#include "asset_writer.h"
#include "resolver_context.h"
#include "usd.h"

BIFROST_USD_NAMESPACE_OPEN

// Ar may construct several of these at once, on several threads, and keep one: so they own nothing
// and construction asks nobody. What is known lives in bifrost::ContextAnswers.
class BifrostResolver final : public ArResolver {
 public:
  BifrostResolver();
  ~BifrostResolver() override = default;

 protected:
  std::string _CreateIdentifier(const std::string& assetPath,
                                const ArResolvedPath& anchorAssetPath) const override;
  std::string _CreateIdentifierForNewAsset(const std::string& assetPath,
                                           const ArResolvedPath& anchorAssetPath) const override;

  ArResolvedPath _Resolve(const std::string& assetPath) const override;
  ArResolvedPath _ResolveForNewAsset(const std::string& assetPath) const override;

  ArResolverContext _CreateDefaultContext() const override;
  ArResolverContext _CreateDefaultContextForAsset(const std::string& assetPath) const override;
  ArResolverContext _CreateContextFromString(const std::string& contextText) const override;
  void _RefreshContext(const ArResolverContext& context) override;
  bool _IsContextDependentPath(const std::string& assetPath) const override;

  std::string _GetExtension(const std::string& assetPath) const override;
  ArAssetInfo _GetAssetInfo(const std::string& assetPath,
                            const ArResolvedPath& resolvedPath) const override;
  ArTimestamp _GetModificationTimestamp(const std::string& assetPath,
                                        const ArResolvedPath& resolvedPath) const override;

  std::shared_ptr<ArAsset> _OpenAsset(const ArResolvedPath& resolvedPath) const override;
  bool _CanWriteAssetToPath(const ArResolvedPath& resolvedPath, std::string* whyNot) const override;
  std::shared_ptr<ArWritableAsset> _OpenAssetForWrite(const ArResolvedPath& resolvedPath,
                                                      WriteMode writeMode) const override;

 private:
  bifrost::ContextAnswers& currentAnswers() const;
  bifrost::WritingFor writingFor() const;
  std::string fileAt(const std::string& resolvedPath) const;
};

BIFROST_USD_NAMESPACE_CLOSE
