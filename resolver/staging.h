// SPDX-License-Identifier: Apache-2.0
//
// Where an asset that is being written waits until it is whole.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "crate.h"

namespace bifrost {

// Where the folders are made that everybody of this user stages in: below TMPDIR.
std::string stagingRoot();

// A folder of its own for one asset, that nobody else can look into, and the file in it. It is
// locked as long as this lives, so that what a killed process left can be told from what is in use;
// python/bifrost/usd/leftovers.py sweeps that away.
class Staging {
 public:
  explicit Staging(const std::string& extension);  // errno says why it is not open
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  bool isOpen() const { return file_ >= 0; }
  const std::string& path() const { return path_; }
  std::size_t size() const;

  bool write(const void* buffer, std::size_t count, std::size_t offset);

  // Takes the bytes from *begin* to *end* of *file*.
  bool copy(const File& file, std::size_t begin, std::size_t end);

  // The file without its name, which goes with this.
  std::shared_ptr<const File> nameless() const;

 private:
  std::string folder_;
  std::string path_;
  int lock_ = -1;
  int file_ = -1;
};

}  // namespace bifrost
