// SPDX-License-Identifier: Apache-2.0
//
// Files as bytes, and how OpenUSD lays out the binary ones (pxr/usd/sdf/crateFile.h): a bootstrap
// of 88 bytes with the offset of the table of contents, values, and sections that the table lists.
// Read without Sdf, so on any thread and with whatever lock of Sdf's held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace bifrost {

constexpr std::size_t kBootstrapBytes = 88;

// A regular file that is read. By plain reads, not a mapping: a file that is truncated under a
// mapping is a SIGBUS. What can't be opened is empty.
class File {
 public:
  explicit File(const std::string& path);
  explicit File(int fd);  // which it closes in the end; the file may have no name any more
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::uint64_t size() const;

  // Up to *most* bytes from *at* on; fewer at the end of the file or on an error.
  std::string read(std::uint64_t at, std::uint64_t most) const;

 private:
  const int fd_;
};

// The little-endian number at *at*; 0 where *bytes* are too short.
std::uint64_t numberAt(std::string_view bytes, std::uint64_t at);

// Whether *bytes* begin a binary layer.
bool isCrate(std::string_view bytes);

struct CrateSection {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

// The sections of the binary layer *file*, by name; none where it is damaged.
std::map<std::string, CrateSection> crateSections(const File& file);

}  // namespace bifrost
