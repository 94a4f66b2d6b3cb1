// SPDX-License-Identifier: Apache-2.0
//
// What the resolver reads of the process's environment, as a copy.
//
// Whoever sets a variable may move all of them while another thread reads. Python does so with the
// GIL held: so they are read with the GIL held too, where a Python runs, and never by a resolve
// that the table answers on a thread without it.
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
  // Reads it anew. With the GIL held where a Python runs (PythonBridge::readEnvironment).
  static std::shared_ptr<const Environment> read();

  // Whether it was read.
  static bool isKnown();

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
