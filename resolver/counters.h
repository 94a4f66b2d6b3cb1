// SPDX-License-Identifier: Apache-2.0
//
// What the resolver tells about itself: what it counts, and what it holds. Python reads it through
// the exported functions (python/bifrost/usd/library.py).
#pragma once

namespace bifrost {

// A lookup that the table answered. Cheap: threads don't share the counter they write to.
void countHit();

// A lookup that it did not.
void countMiss();

}  // namespace bifrost

// Each writes into *buffer* and return how many bytes it takes; when that is more than *size*,
// nothing was written. Any thread, the GIL held or not.
extern "C" {

// The counters as a JSON object, its final NUL included.
__attribute__((visibility("default"))) int bifrost_resolver_stats(char* buffer, int size);

// What the tables of all living contexts, and of none, hold that may change. For each table that
// holds any: policy, root, "bound" or "unbound", the number of answers; then, for each of these,
// identifier and path, which is empty for a failure. Every text is a length (32 bits,
// little-endian) and bytes.
__attribute__((visibility("default"))) int bifrost_resolver_held(char* buffer, int size);

// What the last refresh of each living context moved, likewise; for each answer identifier, path,
// version, new path and new version.
__attribute__((visibility("default"))) int bifrost_resolver_moved(char* buffer, int size);
}
