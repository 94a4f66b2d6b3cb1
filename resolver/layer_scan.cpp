// SPDX-License-Identifier: Apache-2.0
#include "layer_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "usd.h"

namespace bifrost {

namespace {

// Crate layout as OpenUSD writes it (pxr/usd/sdf/crateFile.h): an 88-byte bootstrap with the offset of
// the table of contents, which lists named sections. Tokens are compressed from version 0.4.0 on.
constexpr std::string_view kCrateMagic = "PXR-USDC";
constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kContentsOffsetAt = 16;
constexpr std::size_t kSectionNameBytes = 16;
constexpr std::size_t kSectionBytes = kSectionNameBytes + 16;
constexpr std::size_t kBootstrapBytes = 88;
constexpr std::size_t kTokensAt = 24;  // after three numbers: count, size, compressed size
constexpr std::uint64_t kMostSections = 64;
constexpr std::uint64_t kMostTokenBytes = 1ULL << 30U;

// Plain reads, not a mapping: a file that is truncated under a mapping is a SIGBUS.
class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat info {};
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
      const ssize_t more = pread(fd_, &bytes[got], bytes.size() - got, static_cast<off_t>(at + got));
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

bool contains(std::string_view bytes, const std::vector<std::string>& schemes) {
  return std::any_of(schemes.begin(), schemes.end(), [&](const std::string& scheme) {
    const std::string mark = scheme + ":";
    return memmem(bytes.data(), bytes.size(), mark.data(), mark.size()) != nullptr;
  });
}

bool textMentions(const File& file, const std::vector<std::string>& schemes) {
  constexpr std::uint64_t kChunk = 1ULL << 20U;
  constexpr std::uint64_t kOverlap = 256;  // longer than any scheme
  for (std::uint64_t at = 0; at < file.size(); at += kChunk) {
    if (contains(file.read(at, kChunk + kOverlap), schemes)) {
      return true;
    }
  }
  return false;
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
      return crate.read(numberAt(sections, at + kSectionNameBytes), std::min(size, kMostTokenBytes));
    }
  }
  return {};
}

bool crateMentions(const File& crate, const std::string& bootstrap,
                   const std::vector<std::string>& schemes) {
  BIFROST_USD_USING
  const std::string section = tokenSection(crate, numberAt(bootstrap, kContentsOffsetAt));
  const bool isCompressed = bootstrap[kVersionAt] > 0 || bootstrap[kVersionAt + 1] >= 4;
  if (!isCompressed) {
    return contains(section, schemes);
  }
  const std::uint64_t size = numberAt(section, 8);
  const std::uint64_t compressedSize = numberAt(section, 16);
  if (size == 0 || size > kMostTokenBytes || section.size() < kTokensAt ||
      compressedSize > section.size() - kTokensAt) {
    return false;
  }
  std::string tokens(size, '\0');
  const std::size_t got = TfFastCompression::DecompressFromBuffer(
      section.data() + kTokensAt, tokens.data(), compressedSize, size);
  return got <= size && contains(std::string_view(tokens).substr(0, got), schemes);
}

}  // namespace

bool mentionsScheme(const std::string& path, const std::vector<std::string>& schemes) {
  const File file(path);
  const std::string bootstrap = file.read(0, kBootstrapBytes);
  const bool isCrate = bootstrap.size() == kBootstrapBytes &&
                       bootstrap.compare(0, kCrateMagic.size(), kCrateMagic) == 0;
  return isCrate ? crateMentions(file, bootstrap, schemes) : textMentions(file, schemes);
}

}  // namespace bifrost
