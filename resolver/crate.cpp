// SPDX-License-Identifier: Apache-2.0
#include "crate.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace bifrost {

namespace {

constexpr std::string_view kMagic = "PXR-USDC";
constexpr std::size_t kTableOffsetAt = 16;
constexpr std::size_t kSectionNameBytes = 16;
constexpr std::size_t kSectionBytes = kSectionNameBytes + 2 * sizeof(std::uint64_t);
constexpr std::uint64_t kMostSections = 64;

}  // namespace

// O_NONBLOCK: a FIFO would be waited for without end.
File::File(const std::string& path) : File(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

File::File(int fd) : fd_(fd) {}

File::~File() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

std::uint64_t File::size() const {
  struct stat info{};
  const bool isFile = fd_ >= 0 && fstat(fd_, &info) == 0 && S_ISREG(info.st_mode);
  return isFile ? static_cast<std::uint64_t>(info.st_size) : 0;
}

std::string File::read(std::uint64_t at, std::uint64_t most) const {
  const std::uint64_t end = size();
  std::string bytes(at < end ? std::min(most, end - at) : 0, '\0');
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

std::uint64_t numberAt(std::string_view bytes, std::uint64_t at) {
  std::uint64_t number = 0;
  if (at <= bytes.size() && bytes.size() - at >= sizeof number) {
    std::memcpy(&number, bytes.data() + at, sizeof number);
  }
  return number;
}

bool isCrate(std::string_view bytes) { return bytes.substr(0, kMagic.size()) == kMagic; }

std::map<std::string, CrateSection> crateSections(const File& file) {
  const std::uint64_t offset = numberAt(file.read(kTableOffsetAt, sizeof(std::uint64_t)), 0);
  const std::string table =
      file.read(offset, sizeof(std::uint64_t) + kMostSections * kSectionBytes);
  const std::uint64_t count = std::min(numberAt(table, 0), kMostSections);
  std::map<std::string, CrateSection> sections;
  for (std::size_t at = sizeof(std::uint64_t);
       sections.size() < count && at + kSectionBytes <= table.size(); at += kSectionBytes) {
    const std::string name = table.substr(at, kSectionNameBytes);
    sections[name.substr(0, name.find('\0'))] = {
        numberAt(table, at + kSectionNameBytes),
        numberAt(table, at + kSectionNameBytes + sizeof(std::uint64_t))};
  }
  return sections;
}

}  // namespace bifrost
