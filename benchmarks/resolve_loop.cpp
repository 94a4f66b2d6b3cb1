// SPDX-License-Identifier: Apache-2.0
//
// Resolves the same references over and over, on some threads, with the context of a root bound, as
// composition does. A library for benchmarks/child.py, which loads it with ctypes.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "usd.h"

BIFROST_USD_USING

namespace {

struct Done {
  std::uint64_t resolved = 0;
  double cpuSeconds = 0.0;
};

double threadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Done loop(const ArResolverContext& context, const std::vector<std::string>& references,
          std::size_t start, std::uint64_t count) {
  ArResolver& resolver = ArGetResolver();
  const ArResolverContextBinder binder(context);
  Done all;
  std::size_t at = start % references.size();
  const double began = threadCpuSeconds();
  for (std::uint64_t done = 0; done < count; ++done) {
    all.resolved += resolver.Resolve(references[at]).IsEmpty() ? 0U : 1U;
    at = at + 1 == references.size() ? 0 : at + 1;
  }
  all.cpuSeconds = threadCpuSeconds() - began;
  return all;
}

}  // namespace

// Resolves *each_count* of the *size* references on each of *threads* threads, under the default
// context of *root*. Returns the wall time in seconds, or -1 when a reference did not resolve, and
// in *cpuSeconds* the threads' processor time: what two threads cost each other shows there even
// when the machine has other things to do.
extern "C" __attribute__((visibility("default"))) double bifrost_bench_resolve(
    const char* root, const char* const* references, int size, int threads, long long each_count,
    double* cpuSeconds) {
  const ArResolverContext context = ArGetResolver().CreateDefaultContextForAsset(root);
  const std::vector<std::string> all(references, references + size);
  const auto count = static_cast<std::uint64_t>(each_count);
  std::vector<Done> done(static_cast<std::size_t>(threads));
  const auto work = [&](std::size_t thread) {
    // Each starts elsewhere: threads that walk in step share what they fetch.
    done[thread] = loop(context, all, thread * all.size() / done.size(), count);
  };

  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> others;
  for (std::size_t thread = 1; thread < done.size(); ++thread) {
    others.emplace_back(work, thread);
  }
  work(0);
  for (std::thread& other : others) {
    other.join();
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;

  *cpuSeconds = 0.0;
  for (const Done& each : done) {
    *cpuSeconds += each.cpuSeconds;
    if (each.resolved != count) {
      return -1.0;
    }
  }
  return elapsed.count();
}
