// SPDX-License-Identifier: Apache-2.0
//
// A resolver that makes one OpenAssetIO call for each Resolve and remembers nothing: the way of
// usdOpenAssetIOResolver, for Bifrost to be measured beside. That one calls from C++; this one
// calls each_call.py, which a manager written in Python, as those here are, costs a crossing either
// way.
#include <string>

#include "usd.h"

BIFROST_USD_NAMESPACE_OPEN

namespace {

// Returns what each_call.resolve(reference) returns; "" where that is an error, which is printed.
std::string ask(const std::string& reference) {
  const PyGILState_STATE gil = PyGILState_Ensure();
  std::string path;
  if (PyObject* module = PyImport_ImportModule("each_call")) {
    if (PyObject* answer = PyObject_CallMethod(module, "resolve", "s", reference.c_str())) {
      if (const char* text = PyUnicode_AsUTF8(answer)) path = text;
      Py_DECREF(answer);
    }
    Py_DECREF(module);
  }
  if (PyErr_Occurred()) PyErr_Print();
  PyGILState_Release(gil);
  return path;
}

}  // namespace

class BifrostBenchEachCallResolver final : public ArResolver {
 protected:
  std::string _CreateIdentifier(const std::string& assetPath,
                                const ArResolvedPath& /*anchorAssetPath*/) const override {
    return assetPath;
  }
  std::string _CreateIdentifierForNewAsset(
      const std::string& assetPath, const ArResolvedPath& /*anchorAssetPath*/) const override {
    return assetPath;
  }
  ArResolvedPath _Resolve(const std::string& assetPath) const override {
    return ArResolvedPath(ask(assetPath));
  }
  ArResolvedPath _ResolveForNewAsset(const std::string& /*assetPath*/) const override { return {}; }
  // What is resolved is a plain path, which Ar opens by the primary resolver.
  std::shared_ptr<ArAsset> _OpenAsset(const ArResolvedPath& /*resolvedPath*/) const override {
    return nullptr;
  }
  std::shared_ptr<ArWritableAsset> _OpenAssetForWrite(const ArResolvedPath& /*resolvedPath*/,
                                                      WriteMode /*writeMode*/) const override {
    return nullptr;
  }
};

AR_DEFINE_RESOLVER(BifrostBenchEachCallResolver, ArResolver);

BIFROST_USD_NAMESPACE_CLOSE
