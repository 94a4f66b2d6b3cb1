// SPDX-License-Identifier: Apache-2.0
//
// What OpenUSD compresses in binary layers (pxr/base/tf/fastCompression.h): LZ4 blocks.
//
// TfFastCompression itself posts an error for what is damaged, and that is an exception in Python:
// of a payload that nobody loads, say, which was only looked through. TfErrorMark would take it
// back; its header needs TBB's, which are of another version than the library has
// (UsdWheels.cmake).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace bifrost {

// Appends to an output what LZ4 blocks hold; the format is LZ4's doc/lz4_Block_format.md.
class Lz4Decoder {
 public:
  // *most* bytes of output are made; what claims to hold more is damaged.
  explicit Lz4Decoder(std::size_t most) : most_(most) {}

  // Returns whether *block* was whole.
  bool decode(std::string_view block) {
    in_ = block;
    begin_ = out_.size();
    while (!in_.empty()) {
      const auto token = static_cast<std::uint8_t>(in_.front());
      in_.remove_prefix(1);
      if (!takeLiterals(token >> 4U)) {
        return false;
      }
      if (in_.empty()) {  // the last sequence is literals alone
        return true;
      }
      if (!repeat(token & 15U)) {
        return false;
      }
    }
    return false;
  }

  std::string take() { return std::move(out_); }

 private:
  static constexpr std::size_t kLeastRepeated = 4;

  // A length of 15 goes on in the bytes that follow, up to one that is not 255.
  bool lengthen(std::size_t* length) {
    if (*length != 15) {
      return true;
    }
    while (!in_.empty()) {
      const auto more = static_cast<std::uint8_t>(in_.front());
      in_.remove_prefix(1);
      *length += more;
      if (more != 255) {
        return true;
      }
    }
    return false;
  }

  bool takeLiterals(std::size_t count) {
    if (!lengthen(&count) || count > in_.size() || count > most_ - out_.size()) {
      return false;
    }
    out_.append(in_, 0, count);
    in_.remove_prefix(count);
    return true;
  }

  bool repeat(std::size_t count) {
    if (in_.size() < 2) {
      return false;
    }
    const std::size_t back = static_cast<std::uint8_t>(in_[0]) |
                             static_cast<std::size_t>(static_cast<std::uint8_t>(in_[1])) << 8U;
    in_.remove_prefix(2);
    if (!lengthen(&count) || back == 0 || back > out_.size() - begin_ ||
        (count += kLeastRepeated) > most_ - out_.size()) {
      return false;
    }
    while (count > 0) {  // at once as much as there is: the repeated may go on into itself
      const std::size_t some = std::min(count, back);
      out_.append(out_, out_.size() - back, some);
      count -= some;
    }
    return true;
  }

  std::string_view in_;
  std::string out_;
  std::size_t begin_ = 0;  // of this block: none repeats what another holds
  const std::size_t most_;
};

// What *bytes* hold, if that is at most *most* bytes; nothing where they are damaged.
inline std::optional<std::string> decompressed(std::string_view bytes, std::size_t most) {
  if (bytes.empty()) {
    return std::nullopt;
  }
  Lz4Decoder decoder(most);
  auto chunks = static_cast<std::uint8_t>(bytes.front());
  bytes.remove_prefix(1);
  if (chunks == 0) {
    return decoder.decode(bytes) ? std::optional(decoder.take()) : std::nullopt;
  }
  for (; chunks > 0; --chunks) {
    std::int32_t size = -1;
    if (bytes.size() >= sizeof size) {
      std::memcpy(&size, bytes.data(), sizeof size);
      bytes.remove_prefix(sizeof size);
    }
    if (size < 0 || static_cast<std::size_t>(size) > bytes.size() ||
        !decoder.decode(bytes.substr(0, static_cast<std::size_t>(size)))) {
      return std::nullopt;
    }
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  return decoder.take();
}

}  // namespace bifrost
