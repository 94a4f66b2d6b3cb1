// SPDX-License-Identifier: Apache-2.0
#include "layer_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <set>
#include <string_view>
#include <thread>

#include "asset_path.h"
#include "usd.h"

namespace bifrost {

namespace {

// Crate layout as OpenUSD writes it (pxr/usd/sdf/crateFile.h): an 88-byte bootstrap with the offset
// of the table of contents, which lists named sections. Tokens are compressed from version 0.4.0
// on.
constexpr std::string_view kCrateMagic = "PXR-USDC";
constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kContentsOffsetAt = 16;
constexpr std::size_t kSectionNameBytes = 16;
constexpr std::size_t kSectionBytes = kSectionNameBytes + 16;
constexpr std::size_t kLongestReference = 4096;
constexpr std::size_t kBootstrapBytes = 88;
constexpr std::size_t kTokensAt = 24;  // after three numbers: count, size, compressed size
constexpr std::uint64_t kMostSections = 64;
constexpr std::uint64_t kMostTokenBytes = 1ULL << 30U;

// Plain reads, not a mapping: a file that is truncated under a mapping is a SIGBUS.
class File {
 public:
  explicit File(const std::string& path)
      : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat info{};
    if (fd_ >= 0 && fstat(fd_, &info) == 0 && S_ISREG(info.st_mode)) {
      size_ = static_cast<std::uint64_t>(info.st_size);
    }
  }
  ~File() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::uint64_t size() const { return size_; }

  // Up to *size* bytes from *at*; fewer at the end of the file or on an error.
  std::string read(std::uint64_t at, std::uint64_t size) const {
    std::string bytes(at < size_ ? std::min(size, size_ - at) : 0, '\0');
    std::size_t got = 0;
    while (got < bytes.size()) {
      const ssize_t more =
          pread(fd_, &bytes[got], bytes.size() - got, static_cast<off_t>(at + got));
      if (more <= 0) {
        break;
      }
      got += static_cast<std::size_t>(more);
    }
    bytes.resize(got);
    return bytes;
  }

 private:
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

using Found = std::set<std::string>;

// Without what USD appended to the reference: file format arguments, a path inside a package.
std::string entityOf(std::string_view assetPath) {
  std::string_view reference = withoutFormatArgs(assetPath);
  if (!reference.empty() && reference.back() == ']') {
    reference = reference.substr(0, reference.find('['));
  }
  return std::string(reference);
}

// Adds the asset paths `@<scheme>:...@` that are whole in *text*.
void collectFromText(std::string_view text, const std::vector<std::string>& schemes, Found& found) {
  for (const std::string& scheme : schemes) {
    const std::string mark = "@" + scheme + ":";
    for (std::size_t at = text.find(mark); at != std::string_view::npos;
         at = text.find(mark, at + mark.size())) {
      const std::size_t end = text.find_first_of("@\n", at + mark.size());
      if (end != std::string_view::npos && text[end] == '@' && end - at < kLongestReference) {
        found.insert(entityOf(text.substr(at + 1, end - at - 1)));
      }
    }
  }
}

void collectFromFile(const File& file, const std::vector<std::string>& schemes, Found& found) {
  constexpr std::uint64_t kChunk = 4ULL << 20U;
  for (std::uint64_t at = 0; at < file.size(); at += kChunk) {
    collectFromText(file.read(at, kChunk + kLongestReference), schemes, found);
  }
}

// Adds the tokens that start with a scheme. A "#" makes one a clip template, which names no file.
void collectFromTokens(std::string_view tokens, const std::vector<std::string>& schemes,
                       Found& found) {
  for (const std::string& scheme : schemes) {
    const std::string mark = scheme + ":";
    for (std::size_t at = tokens.find(mark); at != std::string_view::npos;
         at = tokens.find(mark, at + mark.size())) {
      const std::string_view token = tokens.substr(at, tokens.find('\0', at) - at);
      if ((at == 0 || tokens[at - 1] == '\0') && token.find('#') == std::string_view::npos) {
        found.insert(entityOf(token));
      }
    }
  }
}

std::uint64_t numberAt(std::string_view bytes, std::size_t at) {
  std::uint64_t number = 0;
  if (at + sizeof number <= bytes.size()) {
    std::memcpy(&number, bytes.data() + at, sizeof number);
  }
  return number;
}

std::string tokenSection(const File& crate, std::uint64_t contentsOffset) {
  const std::uint64_t count =
      std::min<std::uint64_t>(numberAt(crate.read(contentsOffset, sizeof count), 0), kMostSections);
  const std::string sections = crate.read(contentsOffset + sizeof count, count * kSectionBytes);
  for (std::size_t at = 0; at + kSectionBytes <= sections.size(); at += kSectionBytes) {
    if (std::strncmp(&sections[at], "TOKENS", kSectionNameBytes) == 0) {
      const std::uint64_t size = numberAt(sections, at + kSectionNameBytes + 8);
      return crate.read(numberAt(sections, at + kSectionNameBytes),
                        std::min(size, kMostTokenBytes));
    }
  }
  return {};
}

void collectFromCrate(const File& crate, const std::string& bootstrap,
                      const std::vector<std::string>& schemes, Found& found) {
  BIFROST_USD_USING
  const std::string section = tokenSection(crate, numberAt(bootstrap, kContentsOffsetAt));
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
  std::string tokens(size, '\0');
  const std::size_t got = TfFastCompression::DecompressFromBuffer(
      section.data() + kTokensAt, tokens.data(), compressedSize, size);
  if (got <= size) {
    collectFromTokens(std::string_view(tokens).substr(0, got), schemes, found);
  }
}

void collect(const std::string& path, const std::vector<std::string>& schemes, Found& found) {
  const File file(path);
  const std::string bootstrap = file.read(0, kBootstrapBytes);
  const bool isCrate = bootstrap.size() == kBootstrapBytes &&
                       bootstrap.compare(0, kCrateMagic.size(), kCrateMagic) == 0;
  if (isCrate) {
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
      collect(paths[i], schemes, found);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 1; t < count; ++t) {
    threads.emplace_back([&, t] { read(founds[t]); });
  }
  read(founds[0]);
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (std::size_t t = 1; t < count; ++t) {
    founds[0].merge(founds[t]);
  }
  return {founds[0].begin(), founds[0].end()};
}

}  // namespace bifrost
