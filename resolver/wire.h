// SPDX-License-Identifier: Apache-2.0
//
// The bytes in which the Python bridge answers: the layout is described, once, in
// python/bifrost/usd/wire.py. A recorded closure comes out of the persistent cache in this form, so
// that replaying thousands of answers costs Python nothing for each of them.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "resolution_table.h"

namespace bifrost {

struct Answers {
  std::vector<Resolution> resolutions;
  // Whether they are everything that will be asked for, so that reading ahead would find nothing.
  bool isComplete = false;
};

// The answers that *bytes* hold, or nothing when they are not of this format, whole and in bounds.
std::optional<Answers> decodeAnswers(std::string_view bytes);

}  // namespace bifrost
