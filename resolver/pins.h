// SPDX-License-Identifier: Apache-2.0
//
// A file of frozen resolutions, answered from with no Python, no catalogue and no network.
// docs/pins.md describes the file; python/bifrost/usd/pins.py writes it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "allowed_roots.h"
#include "resolution_table.h"

namespace bifrost {

// What becomes of a reference that the file does not have.
enum class NotPinned { kFail, kWarn, kResolve };

// The pins of one file, as it was when the first living context that names it was made. Readers
// take no lock.
class Pins {
 public:
  // The pins in the file at *path*, read once for all who hold them while the file stays as it is.
  // *roots* says where other sites' folders are here: `OLD=NEW` pairs joined by `;`. A file that
  // can't be read is a warning, and pins nothing. What it pins outside the folders of *allowed*
  // (allowed_roots.h) is a failure. Call it with no lock held and without the GIL.
  static std::shared_ptr<const Pins> at(const std::string& path, NotPinned notPinned,
                                        const std::string& roots, const std::string& allowed = {});

  // The pinned answer, or null. No look at the disk.
  const Resolution* find(std::string_view identifier) const;

  // The answer for a resolve: the pinned one, or a failure when its file is gone or not allowed, or
  // when nothing else may answer. Null where others are to be asked. A pinned file is looked at
  // once.
  const Resolution* answer(std::string_view identifier) const;

  // Whether nothing that is not pinned may be asked for elsewhere.
  bool isFinal() const { return notPinned_ == NotPinned::kFail; }

  std::size_t size() const { return pins_.size(); }
  std::size_t bytes() const { return bytes_; }

  // Guards the list of pins that are held, for the fork handlers.
  static std::mutex& listMutex();

  Pins(std::string path, NotPinned notPinned, const std::string& allowed);

 private:
  struct Pin {
    Resolution answer;
    std::int64_t size = -1;  // bytes; -1 when unknown
    mutable std::atomic<bool> isSeen{false};
  };
  struct Reader;

  const Resolution* answerOf(const Pin& pin) const;
  bool isThere(const Pin& pin) const;
  const Resolution* failure(std::string_view identifier, const char* code,
                            const std::string& message) const;

  const std::string path_;
  const NotPinned notPinned_;
  const AllowedRoots allowed_;
  std::string problem_;  // why the file could not be read, or empty
  std::deque<Pin> pins_;
  std::unordered_map<std::string_view, const Pin*> byIdentifier_;
  std::size_t bytes_ = 0;
  mutable ResolutionTable failures_{Freshness::kUntilRefreshed};
};

}  // namespace bifrost
