// SPDX-License-Identifier: Apache-2.0
//
// Which OpenUSD this is built against: its version, and the namespace that carries it. Brings no
// symbol of OpenUSD or Python along, so that the loader, which is linked to neither, can ask too.
#pragma once

#if __has_include(<pxr/pxr.h>)

#include <pxr/pxr.h>  // an OpenUSD installation

#define BIFROST_USD_MINOR PXR_MINOR_VERSION
#define BIFROST_USD_PATCH PXR_PATCH_VERSION
#ifdef PXR_INTERNAL_NS  // an OpenUSD may be built without namespaces
#define BIFROST_USD_NAMESPACE PXR_INTERNAL_NS
#endif
#define BIFROST_USD_NAMESPACE_OPEN PXR_NAMESPACE_OPEN_SCOPE
#define BIFROST_USD_NAMESPACE_CLOSE PXR_NAMESPACE_CLOSE_SCOPE
#define BIFROST_USD_USING PXR_NAMESPACE_USING_DIRECTIVE

#else

#include <pxr/ar/pxr.h>  // the wheels

#define BIFROST_USD_MINOR AR_MINOR_VERSION
#define BIFROST_USD_PATCH AR_PATCH_VERSION
#define BIFROST_USD_NAMESPACE AR_INTERNAL_NS
#define BIFROST_USD_NAMESPACE_OPEN AR_NAMESPACE_OPEN_SCOPE
#define BIFROST_USD_NAMESPACE_CLOSE AR_NAMESPACE_CLOSE_SCOPE
#define BIFROST_USD_USING AR_NAMESPACE_USING_DIRECTIVE

#endif
