// SPDX-License-Identifier: Apache-2.0
//
// The resolver's one way into Python, and the one rule about locks:
//
//   Never wait for the GIL, for a lock or for I/O while holding a C++ lock.
//
// A Python thread that calls Ar.GetResolver().Resolve() arrives here owning the GIL; composition's
// threads arrive without it. If one of ours held a mutex while waiting for the GIL, and the other
// waited for that mutex, neither could move. tests/threads hangs (and is killed) if this is undone.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace bifrost {

class PythonBridge {
 public:
  static PythonBridge& get();

  // Lets Python's end wait for threads that are on their way through here, where this one holds the
  // GIL; else the first call does. A thread that takes the GIL behind that end aborts the process.
  static void watchExitOfPython();

  enum class Outcome {
    kAnswered,     // the function returned; its reply was handed over
    kUnavailable,  // there is no Python, no bridge in it, or a second one asks; said once
    kFailed,       // the function raised; said once for each kind of error
    kInterrupted,  // by Ctrl-C, which comes through behind the call
    kClosed,       // Python is on its way out, or was never coming
  };

  // Calls `bifrost.usd.bridge.<function>(*arguments)` with text arguments. The bytes that it
  // returns are handed to *onReply*, without the GIL held.
  //
  // Any thread, the GIL held or not, no lock held. Reads the environment on the way. Starts an
  // interpreter when the process has none. Not noexcept, and nothing here swallows `catch (...)`:
  // taking the GIL while Python is being finalised unwinds the thread by force, and stopping that
  // unwinding aborts the process.
  Outcome call(const char* function, std::initializer_list<std::string_view> arguments,
               const std::function<void(std::string_view)>& onReply);

  // Does as `call`, on a thread of its own, and waits for it with the GIL released. Ctrl-C reaches
  // whoever asked behind the call: Python raises it on its main thread only.
  Outcome callAside(const char* function, std::initializer_list<std::string_view> arguments,
                    const std::function<void(std::string_view)>& onReply);

  // Runs *work* with the GIL released, if this thread holds it, in whatever interpreter. While
  // Python is ending with the GIL held: who lets it go then doesn't come back.
  static void withoutGil(const std::function<void()>& work);

  // Likewise, for waiting for another thread; doesn't wait where the GIL can't be let go any more,
  // since who is waited for may want it.
  static void waitWithoutGil(const std::function<void()>& wait);

  // Runs *work*, which does not throw, with the GIL held, and returns true; does nothing where no
  // Python runs, where it is on its way out, and on a thread of a second interpreter.
  static bool withGil(const std::function<void()>& work);

  // Whether this thread holds the GIL of the first interpreter. Cheap: for resolves.
  static bool holdsGil();

  // Whether `call` may be made on this thread; says once why not: it runs a second interpreter.
  static bool serves();

  // Whether this thread is inside `call` already. Such a thread must not wait for another's flight:
  // the other may be waiting for what this one is doing.
  static bool isInside();

  // How often `call` entered Python.
  static std::uint64_t crossings();

  PythonBridge(const PythonBridge&) = delete;
  PythonBridge& operator=(const PythonBridge&) = delete;

 private:
  PythonBridge() = default;
};

// Registers fork handlers for the plugin's mutexes. Called once, when the library is loaded.
void installForkHandlers();

}  // namespace bifrost
