// SPDX-License-Identifier: Apache-2.0
//
// Reads JSON once, from the front, into whatever the reader's caller makes of it.
//
// OpenUSD's own JsParseString makes a value of every brace and text first: for the pins of 6,000
// entities twice as much work as everything else that they cost an open (docs/performance.md).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace bifrost {

// A reader over a text that outlives it. Every call reads one value at the reader's place; once one
// has failed, all do, and `problem` says why and where.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  bool failed() const { return reason_ != nullptr; }

  // Empty while nothing has failed.
  std::string problem() const {
    if (!failed()) {
      return {};
    }
    const std::string_view before = text_.substr(0, at_);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t column = at_ - (before.rfind('\n') + 1) + 1;
    return "line " + std::to_string(line) + ", column " + std::to_string(column) + ": " + reason_;
  }

  // Whether the value here is of that kind, by its first character.
  bool isObject() { return next() == '{'; }
  bool isArray() { return next() == '['; }
  bool isText() { return next() == '"'; }
  bool isNumber() { return next() == '-' || isDigit(next()); }
  bool isTrue() { return next() == 't'; }

  // Calls `member(key)` for each member of an object; it has to read the value, or skip it.
  template <class Member>
  bool readObject(Member member) {
    return readList('{', '}', [&] {
      std::string key;
      if (next() != '"') {
        return fail("expected a name in quotes");
      }
      readText(&key);
      if (!take(':')) {
        return fail("expected a colon after a name");
      }
      member(key);
      return !failed();
    });
  }

  // Calls `element()` for each element of an array; it has to read the value, or skip it.
  template <class Element>
  bool readArray(Element element) {
    return readList('[', ']', [&] {
      element();
      return !failed();
    });
  }

  // Appends to *text*, unless that is null. What is no UTF-8 stays as it is: paths are bytes.
  bool readText(std::string* text) {
    if (!take('"')) {
      return fail("expected a text");
    }
    while (true) {
      const std::size_t from = at_;
      at_ = endOfPlain(from);
      if (text != nullptr) {
        text->append(text_, from, at_ - from);
      }
      if (at_ == text_.size() || static_cast<unsigned char>(text_[at_]) < 0x20) {
        return fail("a text has no end");
      }
      if (text_[at_++] == '"') {
        return true;
      }
      if (!readEscape(text)) {
        return false;
      }
    }
  }

  bool readNumber(double* number) {
    next();
    const bool isNegative = at_ < text_.size() && text_[at_] == '-';
    at_ += isNegative ? 1 : 0;
    const bool startsWithZero = at_ < text_.size() && text_[at_] == '0';
    Digits digits;
    const std::size_t whole = readDigits(&digits, 0);
    if (whole == 0 || (startsWithZero && whole > 1)) {
      return fail("expected a value");
    }
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      if (readDigits(&digits, -1) == 0) {
        return fail("expected a digit");
      }
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E') &&
        !readExponent(&digits.exponent)) {
      return fail("expected a digit");
    }
    *number = isNegative ? -valueOf(digits) : valueOf(digits);
    return true;
  }

  bool readFlag(bool* flag) {
    *flag = isTrue();
    return readWord(*flag ? "true" : "false");
  }

  // Reads a value of any kind and forgets it.
  bool skip() {
    double number = 0.0;
    switch (next()) {
      case '{':
        return readObject([&](const std::string&) { skip(); });
      case '[':
        return readArray([&] { skip(); });
      case '"':
        return readText(nullptr);
      case 't':
        return readWord("true");
      case 'f':
        return readWord("false");
      case 'n':
        return readWord("null");
      default:
        return readNumber(&number);
    }
  }

  // Whether nothing but space is left.
  bool readEnd() {
    next();
    return at_ == text_.size() || fail("there is more after its end");
  }

  // Whether it failed because of brackets in each other: each of them is a call, and enough of them
  // would end the process.
  bool isTooDeep() const { return isTooDeep_; }

 private:
  static constexpr int kDeepest = 64;

  struct Digits {
    std::uint64_t mantissa = 0;
    int exponent = 0;  // of ten
  };

  static bool isDigit(char ch) { return ch >= '0' && ch <= '9'; }

  bool fail(const char* reason) {
    reason_ = failed() ? reason_ : reason;
    return false;
  }

  // The next character that is no space, or NUL at the end and after a failure.
  char next() {
    if (failed()) {
      return '\0';
    }
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool take(char wanted) {
    const bool isThere = next() == wanted;
    at_ += isThere ? 1 : 0;
    return isThere;
  }

  template <class Item>
  bool readList(char open, char close, Item item) {
    if (!take(open)) {
      return fail("expected a bracket");
    }
    if (depth_ == kDeepest) {
      isTooDeep_ = true;
      return fail("it is nested too deeply");
    }
    ++depth_;
    if (!take(close)) {
      do {
        if (!item()) {
          return false;
        }
      } while (take(','));
      if (!take(close)) {
        return fail(close == '}' ? "expected a comma or }" : "expected a comma or ]");
      }
    }
    --depth_;
    return true;
  }

  bool readWord(std::string_view word) {
    next();
    if (failed() || text_.compare(at_, word.size(), word) != 0) {
      return fail("expected a value");
    }
    at_ += word.size();
    return true;
  }

  // Returns how many there were. What a double has no room for is counted and left out.
  std::size_t readDigits(Digits* digits, int step) {
    constexpr std::uint64_t kFull = 1'000'000'000'000'000'000U;
    const std::size_t from = at_;
    for (; at_ < text_.size() && isDigit(text_[at_]); ++at_) {
      if (digits->mantissa < kFull) {
        digits->mantissa = digits->mantissa * 10 + static_cast<std::uint64_t>(text_[at_] - '0');
        digits->exponent += step;
      } else {
        digits->exponent += step + 1;
      }
    }
    return at_ - from;
  }

  bool readExponent(int* exponent) {
    ++at_;
    const bool isSigned = at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+');
    const bool isNegative = isSigned && text_[at_] == '-';
    at_ += isSigned ? 1 : 0;
    int value = 0;
    const std::size_t from = at_;
    for (; at_ < text_.size() && isDigit(text_[at_]); ++at_) {
      value = std::min(value * 10 + (text_[at_] - '0'), 9999);
    }
    *exponent += isNegative ? -value : value;
    return at_ != from;
  }

  static double valueOf(const Digits& digits) {
    auto value = static_cast<long double>(digits.mantissa);
    const int steps = value == 0.0L ? 0 : std::min(std::abs(digits.exponent), 9999);
    for (int step = 0; step < steps; ++step) {
      value = digits.exponent < 0 ? value / 10 : value * 10;
    }
    return static_cast<double>(value);
  }

  // The first place from *from* on where a text ends, or is not simply what it says. A text without
  // escapes, which nearly all are, is looked at with a vector's width at a time.
  std::size_t endOfPlain(std::size_t from) {
    if (quote_ < from) {  // else it is known: a text of escapes alone would be searched for each
      quote_ = std::min(text_.find('"', from), text_.size());
    }
    std::size_t end = quote_;
    const std::size_t escape = text_.substr(from, end - from).find('\\');
    end = escape != std::string_view::npos ? from + escape : end;
    bool hasControl = false;
    for (std::size_t at = from; at < end; ++at) {
      hasControl |= static_cast<unsigned char>(text_[at]) < 0x20;
    }
    while (hasControl && static_cast<unsigned char>(text_[from]) >= 0x20) {
      ++from;
    }
    return hasControl ? from : end;
  }

  bool readEscape(std::string* text) {
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kMeans = "\"\\/\b\f\n\r\t";
    if (at_ == text_.size()) {
      return fail("a text has no end");
    }
    const char name = text_[at_++];
    const std::size_t known = kNames.find(name);
    if (known != std::string_view::npos) {
      push(static_cast<unsigned char>(kMeans[known]), text);
      return true;
    }
    std::uint32_t code = 0;
    if (name != 'u' || !readHex(&code)) {
      return fail("an escape in a text is none of JSON's");
    }
    if (code >= 0xD800 && code < 0xDC00) {
      std::uint32_t low = 0;
      if (text_.compare(at_, 2, "\\u") != 0 || (at_ += 2, !readHex(&low)) || low < 0xDC00 ||
          low > 0xDFFF) {
        return fail("an escape in a text is half a character");
      }
      code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
      return fail("an escape in a text is half a character");
    }
    appendUtf8(code, text);
    return true;
  }

  bool readHex(std::uint32_t* code) {
    for (int digit = 0; digit < 4; ++digit, ++at_) {
      const char ch = at_ < text_.size() ? text_[at_] : '\0';
      const int value = isDigit(ch)              ? ch - '0'
                        : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                        : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                                 : -1;
      if (value < 0) {
        return false;
      }
      *code = *code * 16 + static_cast<std::uint32_t>(value);
    }
    return true;
  }

  static void push(std::uint32_t byte, std::string* text) {
    if (text != nullptr) {
      text->push_back(static_cast<char>(byte));
    }
  }

  static void appendUtf8(std::uint32_t code, std::string* text) {
    if (code < 0x80) {
      push(code, text);
    } else if (code < 0x800) {
      push(0xC0U | code >> 6U, text);
      push(0x80U | (code & 0x3FU), text);
    } else {
      if (code < 0x10000) {
        push(0xE0U | code >> 12U, text);
      } else {
        push(0xF0U | code >> 18U, text);
        push(0x80U | (code >> 12U & 0x3FU), text);
      }
      push(0x80U | (code >> 6U & 0x3FU), text);
      push(0x80U | (code & 0x3FU), text);
    }
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::size_t quote_ = 0;  // the last one that was searched for
  int depth_ = 0;
  bool isTooDeep_ = false;
  const char* reason_ = nullptr;
};

}  // namespace bifrost
