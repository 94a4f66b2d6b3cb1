// SPDX-License-Identifier: Apache-2.0
//
// For LD_PRELOAD: a machine of four processors on which C++ is given a few threads more and then
// none, from the call of refuseThreadsAfter on. Python's own threads are not counted.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace {

std::atomic<int> left{-1};  // negative: as many as are asked for

bool isOfCpp(const void* caller) {
  Dl_info info{};
  return dladdr(caller, &info) != 0 && info.dli_fname != nullptr &&
         std::strstr(info.dli_fname, "libstdc++") != nullptr;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void refuseThreadsAfter(int count) { left.store(count); }

__attribute__((visibility("default"))) int get_nprocs() noexcept { return 4; }

__attribute__((visibility("default"))) int pthread_create(pthread_t* thread,
                                                          const pthread_attr_t* attributes,
                                                          void* (*start)(void*),
                                                          void* argument) noexcept {
  using Create = decltype(&pthread_create);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (left.load() >= 0 && isOfCpp(__builtin_return_address(0)) && left.fetch_sub(1) <= 0) {
    left.store(0);
    return EAGAIN;
  }
  return create(thread, attributes, start, argument);
}
}
