// SPDX-License-Identifier: Apache-2.0
//
// TF_DEBUG=BIFROST_RESOLVE,BIFROST_BRIDGE,BIFROST_CONTEXT traces what the resolver does. Warnings
// go through Tf, so that the application decides where they show; nothing is written to stdout.
#pragma once

#include <mutex>
#include <string>

#include "usd.h"

BIFROST_USD_NAMESPACE_OPEN

// clang-format off
TF_DEBUG_CODES(
    BIFROST_RESOLVE,
    BIFROST_BRIDGE,
    BIFROST_CONTEXT
);
// clang-format on

BIFROST_USD_NAMESPACE_CLOSE

namespace bifrost {

// Warns about *subject* (a reference, or a part of Bifrost), once for each (subject, code).
// Call it with no lock held: a diagnostic delegate may be Python and want the GIL.
void warnOnce(const std::string& subject, const std::string& code, const std::string& message);

// The mutex of the memory of what was warned about, for the fork handlers.
std::mutex& warningsMutex();

}  // namespace bifrost
