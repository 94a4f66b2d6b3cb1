// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace bifrost {

// *assetPath* without the file format arguments that USD appends: they are the format's business,
// never a manager's.
inline std::string_view withoutFormatArgs(std::string_view assetPath) {
  return assetPath.substr(0, assetPath.find(":SDF_FORMAT_ARGS:"));
}

// References of our own catalogue begin so (python/bifrost/model/entity_reference.py).
constexpr std::string_view kOwnPrefix = "bifrost:///assets/";

// What the query of a reference to one of our assets says under *key*; empty where it says nothing.
inline std::string_view parameterOf(std::string_view identifier, std::string_view key) {
  if (identifier.substr(0, kOwnPrefix.size()) != kOwnPrefix) {
    return {};
  }
  std::size_t at = identifier.find('?');
  while (at != std::string_view::npos) {
    const std::size_t end = identifier.find('&', ++at);
    const std::string_view part =
        identifier.substr(at, end == std::string_view::npos ? end : end - at);
    if (part.size() > key.size() && part[key.size()] == '=' && part.substr(0, key.size()) == key) {
      return part.substr(key.size() + 1);
    }
    at = end;
  }
  return {};
}

// Whether a parameter of a reference says what becomes of an asset that is written, and nothing of
// which asset it is (python/bifrost/usd/written.py).
inline bool isForWriting(std::string_view parameter) {
  const std::string_view key = parameter.substr(0, parameter.find('='));
  return key == "type" || key == "name" || key == "format";
}

// *identifier* without such parameters, if it has any; else nothing, and it stays as it is.
inline std::string withoutWritingParameters(std::string_view identifier) {
  const std::size_t query = identifier.find('?');
  if (query == std::string_view::npos || identifier.substr(0, kOwnPrefix.size()) != kOwnPrefix) {
    return {};
  }
  std::string kept(identifier.substr(0, query));
  bool isChanged = false;
  for (std::size_t at = query; at != std::string_view::npos;) {
    const std::size_t end = identifier.find('&', ++at);
    const std::string_view part =
        identifier.substr(at, end == std::string_view::npos ? end : end - at);
    if (isForWriting(part)) {
      isChanged = true;
    } else {
      kept += kept.size() == query ? '?' : '&';
      kept += part;
    }
    at = end;
  }
  return isChanged ? kept : std::string{};
}

}  // namespace bifrost
