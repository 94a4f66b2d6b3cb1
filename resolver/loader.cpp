// SPDX-License-Identifier: Apache-2.0
//
// What OpenUSD loads: it loads the resolver, once it has seen that this is the OpenUSD for it.
//
// The resolver's library asks for symbols whose namespace carries OpenUSD's version. In another
// OpenUSD the dynamic linker would name one of those symbols, or a library that is nowhere, and
// that is all a user would read; or it would find the other OpenUSD on the disk and bring a second
// one into the process. This library is linked to no OpenUSD, loads in any, and says what is wrong.
#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <string>
#include <vector>

#include "usd_version.h"

#define BIFROST_TEXT_OF(name) #name
#define BIFROST_TEXT(name) BIFROST_TEXT_OF(name)
#ifdef BIFROST_USD_NAMESPACE
#define BIFROST_USD_NAMESPACE_TEXT BIFROST_TEXT(BIFROST_USD_NAMESPACE)
#else
#define BIFROST_USD_NAMESPACE_TEXT ""
#endif
// The library of OpenUSD that the resolver is linked to, where the build knows it: two builds of
// one version differ, as usd-core's for each Python do.
#ifndef BIFROST_USD_LIBRARY
#define BIFROST_USD_LIBRARY ""
#endif

// What keeps the resolver from working in this process, or "". Lives as long as the library.
extern "C" __attribute__((visibility("default"))) const char* bifrost_loader_trouble();

namespace {

constexpr const char* kResolver = "libbifrost.so";

std::string& trouble() {
  static std::string text;
  return text;
}

int addName(dl_phdr_info* info, size_t, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(info->dlpi_name);
  return 0;
}

// The libraries in this process, opened once more. OpenUSD's are often not global.
class Libraries {
 public:
  Libraries() {
    std::vector<std::string> names;
    dl_iterate_phdr(addName, &names);
    for (const std::string& name : names) {
      // The program itself has no name.
      if (void* opened = dlopen(name.empty() ? nullptr : name.c_str(), RTLD_LAZY | RTLD_NOLOAD)) {
        opened_.push_back(opened);
      }
    }
  }
  ~Libraries() {
    for (void* opened : opened_) {
      dlclose(opened);
    }
  }
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;

  bool have(const std::string& symbol) const {
    for (void* opened : opened_) {
      if (dlsym(opened, symbol.c_str()) != nullptr) {
        return true;
      }
    }
    return false;
  }

 private:
  std::vector<void*> opened_;
};

// ArGetResolver(), as the compiler names it.
std::string symbolIn(const std::string& usdNamespace) {
  if (usdNamespace.empty()) {
    return "_Z13ArGetResolverv";
  }
  return "_ZN" + std::to_string(usdNamespace.size()) + usdNamespace + "13ArGetResolverEv";
}

// The version of the OpenUSD that is here, such as 26.11; "" where it does not follow OpenUSD's
// way to name its namespace, or none is here.
std::string versionHere(const Libraries& libraries) {
  for (int year = 20; year < 40; ++year) {
    for (int month = 0; month <= 12; ++month) {
      const std::string number = std::to_string(year) + '_' + std::to_string(month);
      if (libraries.have(symbolIn("pxrInternal_v0_" + number + "__pxrReserved__"))) {
        return std::to_string(year) + '.' + std::to_string(month);
      }
    }
  }
  return "";
}

std::string builtFor() {
  return std::to_string(BIFROST_USD_MINOR) + '.' + std::to_string(BIFROST_USD_PATCH);
}

bool isLoaded(const char* library) {
  void* opened = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (opened != nullptr) {
    dlclose(opened);
  }
  return opened != nullptr;
}

// Why the resolver can't work in the OpenUSD of this process; "" where it can.
std::string mismatch() {
  const Libraries libraries;
  const std::string plugin = "the plugin is built for OpenUSD " + builtFor();
  if (libraries.have(symbolIn(BIFROST_USD_NAMESPACE_TEXT))) {
    const std::string linked = BIFROST_USD_LIBRARY;
    return linked.empty() || isLoaded(linked.c_str())
               ? ""
               : plugin + ", and this process has another build of it, without " + linked;
  }
  const std::string here = versionHere(libraries);
  return plugin + (here.empty() ? ", which this process does not have"
                                : ", and this process has OpenUSD " + here);
}

std::string besideThis(const char* name) {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&bifrost_loader_trouble), &info);
  const std::string path = info.dli_fname != nullptr ? info.dli_fname : "";
  return path.substr(0, path.find_last_of('/') + 1) + name;
}

// As OpenUSD would load it: all symbols bound at once, and for good.
std::string load() {
  if (dlopen(besideThis(kResolver).c_str(), RTLD_NOW) != nullptr) {
    return "";
  }
  const char* said = dlerror();
  return "the plugin does not load: " + std::string(said != nullptr ? said : "for no known reason");
}

__attribute__((constructor)) void start() {
  trouble() = mismatch();
  if (trouble().empty()) {
    trouble() = load();
  }
  if (!trouble().empty()) {
    trouble() += "; build it for this OpenUSD (docs/openusd.md), or run it with the other";
    // Not by OpenUSD's diagnostics: whose they are is the question.
    std::fprintf(stderr, "bifrost: %s\n", trouble().c_str());
  }
}

}  // namespace

extern "C" const char* bifrost_loader_trouble() { return trouble().c_str(); }
