// SPDX-License-Identifier: Apache-2.0
#include "layer_scan.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>

#include "asset_path.h"
#include "crate.h"
#include "fast_compression.h"

namespace bifrost {

namespace {

// Tokens are compressed from version 0.4.0 on.
constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kLongestReference = 4096;
constexpr std::size_t kTokensAt = 24;  // after three numbers: count, size, compressed size
constexpr std::uint64_t kMostTokenBytes = 1ULL << 30U;

constexpr std::string_view kSettings = "bifrost";  // python/bifrost/usd/root_settings.py

struct Found {
  std::set<std::string> references;
  bool hasSettings = false;
};

// Without what USD appended to the reference: file format arguments, a path inside a package.
std::string entityOf(std::string_view assetPath) {
  std::string_view reference = withoutFormatArgs(assetPath);
  if (!reference.empty() && reference.back() == ']') {
    reference = reference.substr(0, reference.find('['));
  }
  return std::string(reference);
}

// Adds the reference that *assetPath* is, which begins with a scheme and a colon, *least* bytes.
// What USD appended may begin with that colon: then there is no reference.
void add(std::string_view assetPath, std::size_t least, Found& found) {
  std::string reference = entityOf(assetPath);
  if (reference.size() >= least) {
    found.references.insert(std::move(reference));
  }
}

// Adds the asset paths `@<scheme>:...@` that are whole in *text*.
void collectFromText(std::string_view text, const std::vector<std::string>& schemes, Found& found) {
  for (const std::string& scheme : schemes) {
    const std::string mark = "@" + scheme + ":";
    for (std::size_t at = text.find(mark); at != std::string_view::npos;
         at = text.find(mark, at + mark.size())) {
      const std::size_t end = text.find_first_of("@\n", at + mark.size());
      if (end != std::string_view::npos && text[end] == '@' && end - at < kLongestReference) {
        add(text.substr(at + 1, end - at - 1), mark.size() - 1, found);
      }
    }
  }
}

// Whether *text* declares a dictionary of our name: `dictionary bifrost = {`, however it is spaced.
bool declaresSettings(std::string_view text) {
  constexpr std::string_view kType = "dictionary";
  for (std::size_t at = text.find(kType); at != std::string_view::npos; at = text.find(kType, at)) {
    at = std::min(text.find_first_not_of(" \t\r\n\"'", at + kType.size()), text.size());
    if (text.compare(at, kSettings.size(), kSettings) == 0) {
      return true;
    }
  }
  return false;
}

void collectFromFile(const File& file, const std::vector<std::string>& schemes, Found& found) {
  constexpr std::uint64_t kChunk = 4ULL << 20U;
  for (std::uint64_t at = 0; at < file.size(); at += kChunk) {
    const std::string text = file.read(at, kChunk + kLongestReference);
    collectFromText(text, schemes, found);
    if (at == 0) {  // a layer's metadata comes first
      found.hasSettings = declaresSettings(text);
    }
  }
}

bool hasToken(std::string_view tokens, std::string_view token) {
  const std::string ended = std::string(token) + '\0';
  for (std::size_t at = tokens.find(ended); at != std::string_view::npos;
       at = tokens.find(ended, at + ended.size())) {
    if (at == 0 || tokens[at - 1] == '\0') {
      return true;
    }
  }
  return false;
}

// Adds the tokens that start with a scheme. A "#" makes one a clip template, which names no file.
void collectFromTokens(std::string_view tokens, const std::vector<std::string>& schemes,
                       Found& found) {
  found.hasSettings = hasToken(tokens, kSettings) && hasToken(tokens, "customLayerData");
  for (const std::string& scheme : schemes) {
    const std::string mark = scheme + ":";
    for (std::size_t at = tokens.find(mark); at != std::string_view::npos;
         at = tokens.find(mark, at + mark.size())) {
      const std::string_view token = tokens.substr(at, tokens.find('\0', at) - at);
      if ((at == 0 || tokens[at - 1] == '\0') && token.find('#') == std::string_view::npos) {
        add(token, mark.size(), found);
      }
    }
  }
}

void collectFromCrate(const File& crate, const std::string& bootstrap,
                      const std::vector<std::string>& schemes, Found& found) {
  const CrateSection tokens = crateSections(crate)["TOKENS"];
  const std::string section = crate.read(tokens.offset, std::min(tokens.size, kMostTokenBytes));
  const bool isCompressed = bootstrap[kVersionAt] > 0 || bootstrap[kVersionAt + 1] >= 4;
  if (!isCompressed) {
    collectFromTokens(section, schemes, found);
    return;
  }
  const std::uint64_t size = numberAt(section, 8);
  const std::uint64_t compressedSize = numberAt(section, 16);
  if (size == 0 || size > kMostTokenBytes || section.size() < kTokensAt ||
      compressedSize > section.size() - kTokensAt) {
    return;
  }
  if (const auto text = decompressed({section.data() + kTokensAt, compressedSize}, size)) {
    collectFromTokens(*text, schemes, found);
  }
}

void collect(const std::string& path, const std::vector<std::string>& schemes, Found& found) {
  const File file(path);
  const std::string bootstrap = file.read(0, kBootstrapBytes);
  if (bootstrap.size() == kBootstrapBytes && isCrate(bootstrap)) {
    collectFromCrate(file, bootstrap, schemes, found);
  } else if (!bootstrap.empty() && bootstrap.front() == '#') {  // "#usda 1.0", "#sdf 1.4.32"
    collectFromFile(file, schemes, found);
  }
}

}  // namespace

bool isReadableLayer(const std::string& path) {
  const std::string_view extension = std::string_view(path).substr(path.find_last_of('.') + 1);
  return extension == "usd" || extension == "usda" || extension == "usdc";
}

std::vector<std::string> referencesInAll(const std::vector<std::string>& paths,
                                         const std::vector<std::string>& schemes) {
  constexpr std::size_t kFilesWorthAThread = 64;
  const std::size_t count =
      std::min<std::size_t>({4, std::max(1U, std::thread::hardware_concurrency()),
                             1 + paths.size() / kFilesWorthAThread});
  std::vector<Found> founds(count);
  std::atomic<std::size_t> next{0};
  const auto read = [&](Found& found) {
    for (std::size_t i = next.fetch_add(1); i < paths.size(); i = next.fetch_add(1)) {
      try {
        collect(paths[i], schemes, found);
      } catch (const std::exception&) {
        continue;  // too much for the memory there is: as if it could not be read
      }
    }
  };
  std::vector<std::thread> threads;
  try {
    threads.reserve(count);
    for (std::size_t t = 1; t < count; ++t) {
      threads.emplace_back([&, t] { read(founds[t]); });
    }
  } catch (const std::system_error&) {
    // No more threads can be had: those that there are read it all.
  }
  read(founds[0]);
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (std::size_t t = 1; t < count; ++t) {
    founds[0].references.merge(founds[t].references);
  }
  return {founds[0].references.begin(), founds[0].references.end()};
}

RootScan scanRoot(const std::string& path, const std::vector<std::string>& schemes) {
  Found found;
  collect(path, schemes, found);
  return {{found.references.begin(), found.references.end()}, found.hasSettings};
}

}  // namespace bifrost
