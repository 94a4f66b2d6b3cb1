// SPDX-License-Identifier: Apache-2.0
//
// Sends OpenUSD's bare notice that whatever any resolver said may have changed: what a refresh is
// measured against. A library for benchmarks/usd_child.py, which loads it with ctypes.
#include "usd.h"

BIFROST_USD_USING

extern "C" __attribute__((visibility("default"))) void bifrost_bench_everything_changed() {
  ArNotice::ResolverChanged().Send();
}
