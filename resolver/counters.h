// SPDX-License-Identifier: Apache-2.0
//
// What the resolver counts about itself, readable from Python through `bifrost_resolver_stats`.
#pragma once

namespace bifrost {

// A lookup that the table answered. Cheap: threads don't share the counter they write to.
void countHit();

// A lookup that it did not.
void countMiss();

}  // namespace bifrost

// Writes the counters as a JSON object into *buffer* and returns how many bytes it takes, the final
// NUL included; when that is more than *size*, nothing was written. Any thread.
extern "C" __attribute__((visibility("default"))) int bifrost_resolver_stats(char* buffer,
                                                                             int size);
