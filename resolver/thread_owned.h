// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace bifrost {

// The calling thread's own *Value*, made when it is first asked for; it goes with the thread.
//
// It can be had to the thread's very end. `exit` destroys the main thread's `thread_local` objects
// before it runs exit handlers and destroys statics, and those may ask the resolver still: what is
// made there is left to the process.
template <class Value>
Value& ownedByThread() {
  thread_local Value* own = nullptr;
  struct End {
    ~End() { delete std::exchange(own, nullptr); }
  };
  if (own == nullptr) {
    own = new Value;
    thread_local const End end;
  }
  return *own;
}

}  // namespace bifrost
