// SPDX-License-Identifier: Apache-2.0
//
// An application in C++, as usdcat or a renderer is: it resolves its arguments on several threads
// at once, with no Python of its own, and prints "<reference> -> <path>" for each.
//
//   cpp_host [--threads N] [--leave] [--python] REFERENCE...
//
// With --python it says at the end whether a Python runs in the process.
//
// With --leave it exits while the threads go on resolving: they are stopped by the application's
// own exit handler, which runs after the plugin's and before OpenUSD's. (Threads that resolve past
// that crash in OpenUSD itself, whose statics are gone by then: 20 of 30 runs with plain paths and
// no plugin.)
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <Python.h>

#include "../usd.h"

BIFROST_USD_USING

namespace {

std::atomic<bool> stop{false};
std::vector<std::thread> threads;

void stopThreads() {
  stop.store(true);
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::puts("left");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  int threadCount = 1;
  bool leave = false;
  bool tellPython = false;
  std::vector<std::string> references;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      threadCount = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--leave") == 0) {
      leave = true;
    } else if (std::strcmp(argv[i], "--python") == 0) {
      tellPython = true;
    } else {
      references.emplace_back(argv[i]);
    }
  }
  ArGetResolver().Resolve(".");  // OpenUSD's own first use is no matter for many threads
  if (leave) {
    std::atexit(stopThreads);
  }
  std::vector<std::vector<std::string>> paths(threadCount);
  for (int t = 0; t < threadCount; ++t) {
    threads.emplace_back([&, t] {
      do {
        for (const std::string& reference : references) {
          const std::string path = ArGetResolver().Resolve(reference);
          if (!leave) {
            paths[t].push_back(path);
          }
        }
      } while (leave && !stop.load());
    });
  }
  if (leave) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    std::exit(0);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (std::size_t i = 0; i < references.size(); ++i) {
    for (int t = 1; t < threadCount; ++t) {
      if (paths[t][i] != paths[0][i]) {
        std::fprintf(stderr, "thread %d: %s -> %s\n", t, references[i].c_str(),
                     paths[t][i].c_str());
        return 1;
      }
    }
    std::printf("%s -> %s\n", references[i].c_str(), paths[0][i].c_str());
  }
  if (tellPython) {
    std::puts(Py_IsInitialized() != 0 ? "python runs" : "no python");
  }
  return 0;
}
