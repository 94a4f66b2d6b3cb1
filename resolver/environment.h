// SPDX-License-Identifier: Apache-2.0
//
// What the resolver reads of the process's environment, as a copy.
//
// Whoever sets a variable may move all of them while another thread reads. Python does so with the
// GIL held: so a resolve that the table answers, of which there are thousands on every thread,
// reads them with the GIL held only. Making a context reads them in any case, once: nobody waits
// for the GIL there, as whoever holds it may be waiting for that context.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bifrost {

// Immutable. Any thread.
class Environment {
 public:
  // Reads it anew. For crossings into Python, and for making and refreshing contexts.
  static std::shared_ptr<const Environment> read();

  // As it was read last; read now if it never was.
  static std::shared_ptr<const Environment> last();

  // Whether it is that. One load: for resolves.
  bool isLast() const;

  // The value of one of the variables in environment.cpp; nothing where it is not set.
  std::optional<std::string> value(std::string_view name) const;

  // Whether those that say what a resolve with no context bound means are what they were. Looks at
  // the process's own: as `read`.
  bool policyStands() const;

  // Guards which one is the last, for the fork handlers. Whoever holds it waits for nothing.
  static std::mutex& mutex();

 private:
  Environment();

  std::vector<std::optional<std::string>> values_;
};

}  // namespace bifrost
