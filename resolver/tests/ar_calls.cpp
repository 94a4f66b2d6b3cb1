// SPDX-License-Identifier: Apache-2.0
//
// Every entry point of ArResolver, called in any order from many threads, and each answer checked.
//
//   ar_calls --threads N --steps N --seed S WORLD    prints "ok", or what was wrong
//   ar_calls --names                                 prints the entry points, one a line
//
// As the library ar_calling it is called from Python, through ctypes, with the GIL or without.
//
// Each line of the file WORLD is what must come out: context string, reference, file; tabs between.
// A line whose context is "root" is a layer file that names the references of the empty context.
#include <sys/stat.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "../usd.h"

BIFROST_USD_USING

namespace {

constexpr double kClockGrain_s = 1e-3;

struct Known {
  std::string context;
  std::string reference;
  std::string file;
};

struct World {
  std::vector<Known> known;
  std::vector<std::string> contexts;
  std::vector<std::string> roots;
};

World readWorld(const std::string& path) {
  World world;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream parts(line);
    Known known;
    std::getline(parts, known.context, '\t');
    std::getline(parts, known.reference, '\t');
    std::getline(parts, known.file, '\t');
    if (known.context == "root") {
      world.roots.push_back(known.file);
      continue;
    }
    if (world.contexts.empty() || world.contexts.back() != known.context) {
      world.contexts.push_back(known.context);
    }
    world.known.push_back(known);
  }
  return world;
}

std::string bytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string bytesOf(const ArAsset& asset) { return {asset.GetBuffer().get(), asset.GetSize()}; }

double modified(const std::string& path) {
  struct stat info{};
  stat(path.c_str(), &info);
  return static_cast<double>(info.st_mtim.tv_sec) +
         static_cast<double>(info.st_mtim.tv_nsec) * 1e-9;
}

// One thread's part, by chance.
class Caller {
 public:
  Caller(const World& world, unsigned seed, std::string name)
      : world_(world), random_(seed), name_(std::move(name)) {}

  // Makes one call, or a few that belong together; what was wrong, or nothing.
  std::string step();

  struct Call {
    std::vector<const char*> names;
    void (Caller::*make)();
  };
  static const std::vector<Call>& calls();

 private:
  ArResolver& resolver() { return ArGetResolver(); }

  std::size_t below(std::size_t count) { return random_() % count; }

  template <class Item>
  const Item& oneOf(const std::vector<Item>& items) {
    return items[below(items.size())];
  }

  std::string unheardOf() { return "bifrost:///assets/new_" + name_ + "_" + next() + ".usda"; }
  std::string next() { return std::to_string(made_++); }

  void expect(bool condition, const std::string& what) {
    if (!condition && wrong_.empty()) {
      wrong_ = what;
    }
  }

  void expectEqual(const std::string& expected, const std::string& found, const std::string& what) {
    expect(expected == found, what + ": expected '" + expected + "', got '" + found + "'");
  }

  ArResolverContext contextOf(const std::string& text) {
    return resolver().CreateContextFromString("bifrost", text);
  }

  // Binds the context of something that is known, and hands both over.
  void inContext(const std::function<void(const Known&, const ArResolverContext&)>& body) {
    const Known& known = oneOf(world_.known);
    const ArResolverContext context = contextOf(known.context);
    const ArResolverContextBinder binder(context);
    body(known, context);
  }

  void resolveAgainst(const Known& known, const char* what) {
    expectEqual(known.file, resolver().Resolve(known.reference).GetPathString(),
                std::string(what) + " of " + known.reference + " in (" + known.context + ")");
  }

  void resolve() {
    inContext([&](const Known& known, const ArResolverContext&) {
      resolveAgainst(known, "Resolve");
      expectEqual("", resolver().Resolve("bifrost:///assets/nothing" + next()), "nothing");
    });
  }

  void resolveFile() {
    const std::string& file = oneOf(world_.known).file;
    expectEqual(file, resolver().Resolve(file), "a plain file");
  }

  void createIdentifier() {
    const Known& known = oneOf(world_.known);
    expectEqual(known.reference, resolver().CreateIdentifier(known.reference), "CreateIdentifier");
    expectEqual(known.reference,
                resolver().CreateIdentifier(known.reference, ArResolvedPath(known.file)),
                "an anchored identifier");
  }

  void createIdentifierForNewAsset() {
    const std::string reference = unheardOf();
    expectEqual(reference, resolver().CreateIdentifierForNewAsset(reference), "a new identifier");
  }

  void resolveForNewAsset() {
    const std::string reference = unheardOf();
    expectEqual(reference, resolver().ResolveForNewAsset(reference), "ResolveForNewAsset");
  }

  void defaultContext() {
    const ArResolverContextBinder binder(resolver().CreateDefaultContext());
    const Known& known = world_.known[below(world_.known.size() / world_.contexts.size())];
    resolveAgainst(known, "Resolve in the default context");
  }

  void defaultContextForAsset() {
    const ArResolverContext context = resolver().CreateDefaultContextForAsset(oneOf(world_.roots));
    const ArResolverContextBinder binder(context);
    const Known& known = world_.known[below(world_.known.size() / world_.contexts.size())];
    resolveAgainst(known, "Resolve in a root's context");
  }

  void contextsFromStrings() {
    const Known& known = oneOf(world_.known);
    const ArResolverContext context =
        resolver().CreateContextFromStrings({{"bifrost", known.context}, {"", "/nowhere"}});
    expect(contextOf(known.context) == resolver().CreateContextFromString("bifrost", known.context),
           "two contexts of one string differ");
    const ArResolverContextBinder binder(context);
    resolveAgainst(known, "Resolve in a context of strings");
  }

  // One context within another: each answers for itself, the outer one again in the end.
  void bindAndUnbind() {
    const Known& outer = oneOf(world_.known);
    const Known& inner = oneOf(world_.known);
    const ArResolverContext outerContext = contextOf(outer.context);
    const ArResolverContext innerContext = contextOf(inner.context);
    VtValue outerData;
    VtValue innerData;
    resolver().BindContext(outerContext, &outerData);
    resolver().BindContext(innerContext, &innerData);
    resolveAgainst(inner, "Resolve in the inner context");
    expect(resolver().GetCurrentContext() == innerContext, "the inner context is not the current");
    resolver().UnbindContext(innerContext, &innerData);
    resolveAgainst(outer, "Resolve in the outer context");
    expect(resolver().GetCurrentContext() == outerContext, "the outer context is not the current");
    resolver().UnbindContext(outerContext, &outerData);
  }

  void refresh() {
    inContext([&](const Known& known, const ArResolverContext& context) {
      resolveAgainst(known, "Resolve before a refresh");
      resolver().RefreshContext(context);
      resolveAgainst(known, "Resolve after a refresh");
    });
  }

  void isContextDependent() {
    expect(resolver().IsContextDependentPath(oneOf(world_.known).reference), "no context counts");
  }

  void extension() {
    inContext([&](const Known& known, const ArResolverContext&) {
      expectEqual("usda", resolver().GetExtension(known.reference), "GetExtension");
    });
  }

  void assetInfo() {
    inContext([&](const Known& known, const ArResolverContext&) {
      const ArResolvedPath path = resolver().Resolve(known.reference);
      const ArAssetInfo info = resolver().GetAssetInfo(known.reference, path);
      expect(known.file.find("/v" + info.version + "/") != std::string::npos,
             known.reference + ": version " + info.version + " is not that of " + known.file);
    });
  }

  void timestamp() {
    inContext([&](const Known& known, const ArResolverContext&) {
      const ArResolvedPath path = resolver().Resolve(known.reference);
      const ArTimestamp time = resolver().GetModificationTimestamp(known.reference, path);
      expect(time.IsValid() && std::fabs(time.GetTime() - modified(known.file)) < kClockGrain_s,
             known.reference + ": the time is not that of " + known.file);
    });
  }

  void openAsset() {
    inContext([&](const Known& known, const ArResolverContext&) {
      const ArResolvedPath path = resolver().Resolve(known.reference);
      const std::shared_ptr<ArAsset> asset = resolver().OpenAsset(path);
      expect(asset && bytesOf(*asset) == bytesOf(known.file), known.reference + ": other bytes");
      const std::shared_ptr<ArAsset> direct = resolver().OpenAsset(ArResolvedPath(known.reference));
      expect(direct && bytesOf(*direct) == bytesOf(known.file),
             known.reference + ": other bytes through the reference");
    });
  }

  void canWrite() {
    std::string whyNot;
    expect(resolver().CanWriteAssetToPath(ArResolvedPath(unheardOf()), &whyNot), whyNot);
  }

  // What is written is a version when Close returns: whoever asks then finds these bytes.
  void write() {
    const std::string reference = unheardOf();
    const std::string bytes = "#usda 1.0\n(\n    defaultPrim = \"a\"\n    doc = \"" + reference +
                              "\"\n)\ndef \"a\"\n{\n}\n";
    const std::shared_ptr<ArWritableAsset> asset =
        resolver().OpenAssetForWrite(ArResolvedPath(reference), ArResolver::WriteMode::Replace);
    expect(asset && asset->Write(bytes.data(), bytes.size(), 0) == bytes.size() && asset->Close(),
           reference + " can't be written");
    const ArResolverContextBinder binder(contextOf("user=" + name_));
    expectEqual(bytes, bytesOf(resolver().Resolve(reference).GetPathString()), reference);
  }

  void cacheScope() {
    inContext([&](const Known& known, const ArResolverContext&) {
      VtValue scope;
      resolver().BeginCacheScope(&scope);
      resolveAgainst(known, "Resolve in a scope");
      resolveAgainst(known, "Resolve again in a scope");
      resolver().EndCacheScope(&scope);
    });
  }

  void repositoryPath() { resolver().IsRepositoryPath(oneOf(world_.known).reference); }

  const World& world_;
  std::mt19937 random_;
  const std::string name_;
  unsigned made_ = 0;
  std::string wrong_;
};

const std::vector<Caller::Call>& Caller::calls() {
  static const auto* calls = new std::vector<Call>{
      {{"Resolve"}, &Caller::resolve},
      {{"Resolve"}, &Caller::resolveFile},
      {{"CreateIdentifier"}, &Caller::createIdentifier},
      {{"CreateIdentifierForNewAsset"}, &Caller::createIdentifierForNewAsset},
      {{"ResolveForNewAsset"}, &Caller::resolveForNewAsset},
      {{"CreateDefaultContext"}, &Caller::defaultContext},
      {{"CreateDefaultContextForAsset"}, &Caller::defaultContextForAsset},
      {{"CreateContextFromString", "CreateContextFromStrings"}, &Caller::contextsFromStrings},
      {{"BindContext", "UnbindContext", "GetCurrentContext"}, &Caller::bindAndUnbind},
      {{"RefreshContext"}, &Caller::refresh},
      {{"IsContextDependentPath"}, &Caller::isContextDependent},
      {{"GetExtension"}, &Caller::extension},
      {{"GetAssetInfo"}, &Caller::assetInfo},
      {{"GetModificationTimestamp"}, &Caller::timestamp},
      {{"OpenAsset"}, &Caller::openAsset},
      {{"CanWriteAssetToPath"}, &Caller::canWrite},
      {{"OpenAssetForWrite"}, &Caller::write},
      {{"BeginCacheScope", "EndCacheScope"}, &Caller::cacheScope},
      {{"IsRepositoryPath"}, &Caller::repositoryPath},
  };
  return *calls;
}

std::string Caller::step() {
  wrong_.clear();
  (this->*oneOf(calls()).make)();
  return wrong_;
}

}  // namespace

// Makes *steps* calls by chance; returns how many answers were wrong, and says on stderr which.
// *name* keeps what a thread writes apart from what others write.
extern "C" __attribute__((visibility("default"))) int makeArCalls(const char* worldFile,
                                                                  const char* name, unsigned seed,
                                                                  int steps) {
  static const World* world = new World(readWorld(worldFile));
  Caller caller(*world, seed, name);
  int wrong = 0;
  for (int i = 0; i < steps; ++i) {
    const std::string what = caller.step();
    if (!what.empty()) {
      ++wrong;
      std::fprintf(stderr, "thread %s: %s\n", name, what.c_str());
    }
  }
  return wrong;
}

int main(int argc, char** argv) {
  int threadCount = 8;
  int steps = 20;
  unsigned seed = 1;
  const char* world = "";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--names") == 0) {
      for (const Caller::Call& call : Caller::calls()) {
        for (const char* name : call.names) {
          std::puts(name);
        }
      }
      return 0;
    }
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      threadCount = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
      steps = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = static_cast<unsigned>(std::atoi(argv[++i]));
    } else {
      world = argv[i];
    }
  }
  ArGetResolver().Resolve(".");  // OpenUSD's own first use is no matter for many threads
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < threadCount; ++t) {
    threads.emplace_back([&, t] {
      const std::string name = std::to_string(seed) + "_" + std::to_string(t);
      wrong += makeArCalls(world, name.c_str(), seed * 1000 + static_cast<unsigned>(t), steps);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::puts(wrong == 0 ? "ok" : "wrong");
  return wrong == 0 ? 0 : 1;
}
