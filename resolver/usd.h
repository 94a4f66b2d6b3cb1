// SPDX-License-Identifier: Apache-2.0
//
// The only file that knows where OpenUSD's headers are; usd_version.h knows which OpenUSD it is.
//
// The `pxr-*-dev` wheels have <pxr/ar/resolver.h> and a namespace macro for each library; an
// OpenUSD installation (24.08 and later; usdview, Maya, Houdini) has <pxr/usd/ar/resolver.h> and
// one macro. Whether that OpenUSD has Python is what PXR_PYTHON_SUPPORT_ENABLED says there; for the
// wheels the build defines it. It must be right: it changes the layout of ArResolverContext's
// virtual table, and printing a context from Python crashes when the two sides differ.
#pragma once

#if __has_include(<pxr/pxr.h>)
#include <pxr/pxr.h>  // says PXR_PYTHON_SUPPORT_ENABLED
#endif
#ifdef PXR_PYTHON_SUPPORT_ENABLED
#include "weak_python.h"
#define BIFROST_USD_HAS_PYTHON 1
#else
#define BIFROST_USD_HAS_PYTHON 0
#endif
#include "usd_version.h"  // behind weak_python.h: the wheels' headers bring Python's

#if __has_include(<pxr/usd/ar/resolver.h>)

#include <pxr/base/js/json.h>
#include <pxr/base/js/value.h>
#include <pxr/base/plug/plugin.h>
#include <pxr/base/plug/registry.h>
#include <pxr/base/tf/debug.h>
#include <pxr/base/tf/diagnostic.h>
#include <pxr/base/tf/pathUtils.h>
#include <pxr/base/tf/registryManager.h>
#include <pxr/base/vt/dictionary.h>
#include <pxr/base/vt/value.h>
#include <pxr/usd/ar/assetInfo.h>
#include <pxr/usd/ar/defineResolver.h>
#include <pxr/usd/ar/defineResolverContext.h>
#include <pxr/usd/ar/filesystemAsset.h>
#include <pxr/usd/ar/filesystemWritableAsset.h>
#include <pxr/usd/ar/notice.h>
#include <pxr/usd/ar/resolver.h>
#include <pxr/usd/ar/resolverContext.h>
#include <pxr/usd/ar/resolverContextBinder.h>

#if __has_include(<pxr/external/boost/python.hpp>)
#define BIFROST_USD_BOOST_PYTHON <pxr/external/boost/python.hpp>
#define BIFROST_BOOST_PYTHON pxr_boost::python
#else  // before 24.11 OpenUSD used Boost's own
#define BIFROST_USD_BOOST_PYTHON <boost/python.hpp>
#define BIFROST_BOOST_PYTHON boost::python
#endif

#else

#include <pxr/ar/assetInfo.h>
#include <pxr/ar/defineResolver.h>
#include <pxr/ar/defineResolverContext.h>
#include <pxr/ar/filesystemAsset.h>
#include <pxr/ar/filesystemWritableAsset.h>
#include <pxr/ar/notice.h>
#include <pxr/ar/resolver.h>
#include <pxr/ar/resolverContext.h>
#include <pxr/ar/resolverContextBinder.h>
#include <pxr/js/json.h>
#include <pxr/js/value.h>
#include <pxr/plug/plugin.h>
#include <pxr/plug/registry.h>
#include <pxr/tf/debug.h>
#include <pxr/tf/diagnostic.h>
#include <pxr/tf/pathUtils.h>
#include <pxr/tf/registryManager.h>
#include <pxr/vt/dictionary.h>
#include <pxr/vt/value.h>

#define BIFROST_USD_BOOST_PYTHON <pxr/boost/python.hpp>
#define BIFROST_BOOST_PYTHON pxr_boost::python

#endif
