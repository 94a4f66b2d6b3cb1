// SPDX-License-Identifier: Apache-2.0
//
// TF_DEBUG=BIFROST_RESOLVE,BIFROST_BRIDGE,BIFROST_CONTEXT traces what the resolver does. Warnings
// go through Tf, so that the application decides where they show; nothing is written to stdout.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

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

// *text* with `\x1b` and the like for control characters, ends of lines among them: a name in it
// may be anybody's, and is not to move a cursor or to begin a line of its own.
std::string printable(std::string_view text);

// Warns about *subject* (a reference, or a part of Bifrost), once for each (subject, code).
// Call it with no lock held: a diagnostic delegate may be Python and want the GIL.
void warnOnce(const std::string& subject, const std::string& code, const std::string& message);

// The mutex of the memory of what was warned about, for the fork handlers.
std::mutex& warningsMutex();

}  // namespace bifrost
