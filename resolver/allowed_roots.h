// SPDX-License-Identifier: Apache-2.0
//
// The folders that answers may lie in (the setting `resolve.allowed_roots`), for answers that come
// from pins: those need no Python, which has the same rule for all others (model/roots.py).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bifrost {

// Immutable. Any thread.
class AllowedRoots {
 public:
  // *text* has absolute folders, joined by `;`. With none in it everything is allowed; with one
  // that is not absolute, that one allows nothing.
  explicit AllowedRoots(std::string_view text);

  bool areSet() const { return areSet_; }

  // Whether the place that *path* leads to, links and `..` followed, lies in one of them. It looks
  // at the disk: call it with no lock held and without the GIL, where that can wait.
  bool hold(const std::string& path) const;

 private:
  bool areSet_ = false;
  std::vector<std::string> roots_;
};

// What is set: by BIFROST_RESOLVE__ALLOWED_ROOTS, else in the settings file. Where the file sets it
// in a way that is not read here, a text that allows nothing, and a warning that says what to do.
std::string allowedRootsText();

// What the text of a settings file says: the setting's value, or a text that allows nothing where
// it names the setting otherwise than as `allowed_roots = "…"` below `[resolve]`.
std::string allowedRootsIn(std::string_view settings);

}  // namespace bifrost
